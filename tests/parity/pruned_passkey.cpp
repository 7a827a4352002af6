// What a method keeps of the passkey prompts of `steno eval`, layer by layer and head by head, and what it then
// answers; for tests/parity/pruned_cache.py:
//
//   steno_pruned_passkey MODEL --method h2o --budget 512 [--params KEY=VALUE ...] [--length N] [--depth D ...]
//       [--trials N] [--filler FILE] [--dtype f32|bf16] [--threads N] [--query-aware]
//
// One JSON line per prompt: "item" (its name and so its seed are those of `steno eval passkey`), "key", "needle" (first
// and last position), "context" and "question" (ids), "kept" ([layer][head] positions when the context has been cut, or
// the whole prompt with --query-aware), "answer" (text of at most 10 greedy tokens).
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "base/error.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/passkey.h"
#include "io/json.h"
#include "io/records.h"
#include "memory/generate.h"
#include "methods/method.h"
#include "model/loader.h"

namespace steno {
namespace {

struct Options {
  std::string model, method, dtype = "f32", filler;
  std::vector<std::string> params;
  std::vector<int64_t> depths = {50};
  int64_t budget = 512, length = 1024, trials = 1;
  int threads = 1;
  bool query_aware = false;
};

Filler filler_of(const std::string& file) {
  if (file.empty()) return Filler::repeated();
  DataSource source;
  std::vector<std::string> texts;
  for (DocumentRecord& record : read_records_of<DocumentRecord>(file, {}, source))
    texts.push_back(std::move(record.text));
  return Filler::natural(file, texts);
}

nlohmann::json kept_by(const Stream& stream, const ModelConfig& config) {
  nlohmann::json kept;
  for (int64_t layer = 0; layer < config.layers; ++layer)
    for (int64_t head = 0; head < config.kv_heads; ++head)
      kept[static_cast<size_t>(layer)][static_cast<size_t>(head)] = stream.kept_positions(layer, head);
  return kept;
}

void run(const Options& options) {
  at::set_num_threads(options.threads);
  const Model model = load_model(options.model, {.dtype = options.dtype == "f32" ? at::kFloat : at::kBFloat16});
  const Filler filler = filler_of(options.filler);
  const PromptEncoder encoder(model.tokenizer, "plain");
  StreamOptions memory{.budget = options.budget};
  for (const std::string& param : options.params) {
    const size_t equals = param.find('=');
    if (equals == std::string::npos) throw UsageError("--params {}: it is KEY=VALUE", param);
    memory.params[param.substr(0, equals)] = param.substr(equals + 1);
  }
  for (const int64_t depth : options.depths) {
    for (int64_t trial = 0; trial < options.trials; ++trial) {
      const std::string item = fmt::format("length={}/depth={}/trial={}", options.length, depth, trial);
      const BuiltPrompt prompt =
          build_passkey(encoder, filler, {.length = options.length, .depth = static_cast<double>(depth)},
                        mix_seeds({0, seed_of(item)}));
      const auto stream = method_named(options.method).open_stream(model.decoder, memory);
      std::vector<TokenId> question = prompt.question_ids;
      nlohmann::json kept;
      if (options.query_aware) {
        question.insert(question.begin(), prompt.context_ids.begin(), prompt.context_ids.end());
      } else {
        stream->feed(prompt.context_ids, LogitRows::none);
        kept = kept_by(*stream, model.decoder->config());
      }
      GenerateOptions greedy;
      greedy.sampler.temperature = 0;
      greedy.max_new_tokens = 10;
      const Generated generated = generate(*stream, model.tokenizer, question, greedy, {}, {}, [&] {
        if (options.query_aware) kept = kept_by(*stream, model.decoder->config());
      });
      const nlohmann::json line = {{"item", item},
                                   {"key", prompt.references.at(0)},
                                   {"needle", {prompt.needles.at(0).first, prompt.needles.at(0).last}},
                                   {"context", prompt.context_ids},
                                   {"question", prompt.question_ids},
                                   {"kept", kept},
                                   {"answer", generated.text}};
      std::cout << line.dump() << std::endl;
    }
  }
}

}  // namespace
}  // namespace steno

int main(int argc, char** argv) {
  steno::Options options;
  CLI::App app("what a method keeps of passkey prompts");
  app.add_option("model", options.model)->required();
  app.add_option("--method", options.method)->required();
  app.add_option("--budget", options.budget);
  app.add_option("--params", options.params);
  app.add_option("--length", options.length);
  app.add_option("--depth", options.depths);
  app.add_option("--trials", options.trials);
  app.add_option("--filler", options.filler, "JSON lines of documents; without it the five repeated sentences");
  app.add_option("--dtype", options.dtype)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 1024));
  app.add_flag("--query-aware", options.query_aware);
  CLI11_PARSE(app, argc, argv);
  try {
    steno::run(options);
  } catch (const steno::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  }
}
