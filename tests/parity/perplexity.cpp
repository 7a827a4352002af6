// Perplexity of a model under one compute path, to compare paths with each other:
//
//   zstd -dc prose.valid.jsonl.zst | steno_perplexity MODEL [--dtype f32|bf16] [--chunk N] [--tokens N] [--documents N]
//
// Reads JSON lines with a "text", takes the first --tokens tokens of each, resets between texts, and scores every token
// but the first (micro average). --chunk 1 goes through the few-row path that decoding uses.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>

#include "base/error.h"
#include "base/process.h"
#include "io/json.h"
#include "methods/method.h"
#include "model/loader.h"

int main(int argc, char** argv) {
  using namespace steno;
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  std::string model_path, dtype = "bf16";
  int64_t chunk = 512, tokens = 1024, documents = 0;
  CLI::App app("perplexity of one compute path");
  app.add_option("model", model_path)->required();
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--chunk", chunk)->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--tokens", tokens)->check(CLI::Range(int64_t{2}, int64_t{1} << 20));
  app.add_option("--documents", documents, "0: all");
  CLI11_PARSE(app, argc, argv);
  try {
    LoadOptions load;
    load.dtype = dtype == "f32" ? at::kFloat : at::kBFloat16;
    const Model model = load_model(model_path, load);
    double nll = 0;
    int64_t scored = 0, read = 0;
    std::string line;
    const Stopwatch watch;
    while ((documents == 0 || read < documents) && std::getline(std::cin, line)) {
      const auto record = parse_json(line, fmt::format("line {}", read + 1));
      auto ids =
          model.tokenizer->encode(record.at("text").get<std::string>(), {.add_special = true, .parse_special = false});
      ++read;
      if (static_cast<int64_t>(ids.size()) > tokens) ids.resize(static_cast<size_t>(tokens));
      if (ids.size() < 2) continue;
      StreamOptions options;
      options.chunk_size = chunk;
      const auto stream = method_named("dense").open_stream(model.decoder, options);
      const std::span<const TokenId> all(ids);
      // In pieces, so that the logits of one piece are all that is held.
      const auto piece = static_cast<size_t>(std::max<int64_t>(chunk, 1));
      for (size_t at = 0; at + 1 < ids.size(); at += piece) {
        const size_t count = std::min(piece, ids.size() - 1 - at);
        const at::Tensor logits = stream->feed(all.subspan(at, count), LogitRows::all).logits;
        at::Tensor next = at::empty({static_cast<int64_t>(count), 1}, at::kLong);
        for (size_t i = 0; i < count; ++i) next.mutable_data_ptr<int64_t>()[i] = ids[at + i + 1];
        const at::Tensor chosen = logits.gather(1, next).squeeze(1) - logits.logsumexp(1);
        nll -= chosen.sum(at::kDouble).item<double>();
        scored += static_cast<int64_t>(count);
      }
    }
    if (scored == 0) throw InputError("no text was read from standard input");
    const nlohmann::json result = {{"dtype", dtype},
                                   {"chunk", chunk},
                                   {"documents", read},
                                   {"scored_tokens", scored},
                                   {"perplexity", std::exp(nll / static_cast<double>(scored))},
                                   {"seconds", watch.seconds()}};
    std::cout << result.dump() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
