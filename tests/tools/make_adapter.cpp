// For end-to-end tests: an untrained ICAE adapter for a model.
//   make_adapter MODEL OUT [K RATIO SEED]
#include <fmt/core.h>

#include <string>

#include "base/error.h"
#include "methods/icae/adapter.h"

int main(int argc, char** argv) {
  using namespace steno;
  if (argc != 3 && argc != 6) {
    fmt::print(stderr, "usage: make_adapter MODEL OUT [K RATIO SEED]\n");
    return 2;
  }
  try {
    const Model model = load_model(argv[1], {.dtype = at::kFloat});
    icae::Settings settings;
    settings.k = argc > 3 ? std::stoll(argv[3]) : 4;
    settings.ratio = argc > 3 ? std::stoll(argv[4]) : 4;
    if (model.tokenizer->adds_bos() && model.tokenizer->bos()) settings.bos = *model.tokenizer->bos();
    if (model.tokenizer->eos()) settings.eos = *model.tokenizer->eos();
    const uint64_t seed = argc > 3 ? std::stoull(argv[5]) : 1;
    const auto adapter = icae::create_adapter(model, settings, {}, icae::TableInit::embedding, seed);
    icae::save_adapter(adapter, argv[2], at::kFloat, Json::object());
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "make_adapter: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
