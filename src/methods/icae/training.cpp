#include "methods/icae/training.h"

#include <cmath>

#include "base/error.h"
#include "io/prompt.h"
#include "methods/icae/objective.h"

namespace steno::icae {
namespace {

int64_t bos_id(const Tokenizer& tokenizer, const std::string& choice) {
  if (choice != "auto" && choice != "on" && choice != "off")
    throw UsageError("[icae] bos is '{}'; it is auto, on or off", choice);
  if (choice == "off" || (choice == "auto" && !tokenizer.adds_bos())) return -1;
  if (!tokenizer.bos()) throw InputError("[icae] bos is on, but this tokenizer has none");
  return *tokenizer.bos();
}

int64_t eos_id(const Tokenizer& tokenizer, const std::string& choice) {
  if (!choice.empty()) {
    const auto id = tokenizer.find(choice);
    if (!id) throw UsageError("[icae] eos is '{}', which is no token of this model", choice);
    return *id;
  }
  if (tokenizer.eos()) return *tokenizer.eos();
  if (!tokenizer.end_of_generation().empty()) return tokenizer.end_of_generation()[0];
  throw InputError("[icae] this tokenizer has no token that ends a text; name one by eos=TOKEN");
}

// The ids around slots and prompt, and the one that ends an answer.
void set_template(const Tokenizer& tokenizer, const std::string& frame, Settings& settings) {
  settings.answer_end = settings.eos;
  if (frame == "none") return;
  if (frame == "mistral-icae") {
    // As published for Mistral, in its own spelling: BOS [INST] ... [/INST], without the blanks of the chat format.
    settings.before = list_of(tokenizer.encode("[INST]", {.add_special = true, .parse_special = false}));
    settings.after = list_of(tokenizer.encode("[/INST]", {.add_special = false, .parse_special = false}));
    return;
  }
  const ChatFormat format = choose_chat_format(tokenizer, frame);
  const Frame around = user_frame(format, "");
  settings.before =
      list_of(tokenizer.encode(around.before, {.add_special = around.add_special, .parse_special = true}));
  settings.after = list_of(tokenizer.encode(around.after, {.add_special = false, .parse_special = true}));
  for (const std::string& stop : format.stops()) {
    const auto id = tokenizer.find(stop);
    if (!id) continue;
    settings.answer_end = *id;
    break;
  }
}

Settings fresh_settings(const Tokenizer& tokenizer, const TrainingParams& params) {
  Settings settings;
  settings.k = params.k;
  settings.ratio = params.ratio;
  settings.positions = params.positions;
  check_settings("icae", settings);
  settings.lm_token = params.lm_token;
  settings.memory_head = params.memory_head;
  settings.bos = bos_id(tokenizer, params.bos);
  settings.eos = eos_id(tokenizer, params.eos);
  set_template(tokenizer, params.frame, settings);
  return settings;
}

// What an adapter fixed when it was made cannot be asked for otherwise.
void check_against(const FieldValues& values, const TrainingParams& params, const Adapter& adapter) {
  const auto expect = [&](const char* name, const auto& asked, const auto& has) {
    if (values.contains(name) && asked != has)
      throw UsageError("[icae] {} is {}, but the adapter '{}' has {}", name, asked, params.adapter, has);
  };
  expect("k", params.k, adapter.settings.k);
  expect("ratio", params.ratio, adapter.settings.ratio);
  expect("rank", params.rank, adapter.lora.config().rank);
  expect("alpha", params.alpha, adapter.lora.config().alpha);
  expect("memory_head", params.memory_head, adapter.settings.memory_head);
  expect("lm_token", params.lm_token, adapter.settings.lm_token);
  expect("positions", params.positions, adapter.settings.positions);
}

// Dropout belongs to a run, not to an adapter.
AdapterSet with_dropout(const AdapterSet& lora, const ModelConfig& model, double dropout) {
  LoraConfig config = lora.config();
  config.dropout = dropout;
  AdapterSet set = AdapterSet::create(model, config, 0);
  for (int64_t layer = 0; layer < set.layers(); ++layer)
    for (const Target target : config.targets) set.pair(layer, target) = lora.pair(layer, target);
  return set;
}

double share(const char* name, double value) {
  if (!(value >= 0 && value <= 1)) throw UsageError("[icae] {} is {}; it is between 0 and 1", name, value);
  return value;
}

int64_t at_least(const char* name, int64_t value, int64_t least) {
  if (value < least) throw UsageError("[icae] {} is {}; it is {} or more", name, value, least);
  return value;
}

ObjectiveOptions options_of(const std::string& objective, const TrainingParams& params, const Settings& settings) {
  ObjectiveOptions options;
  options.task = objective == "ft" ? Task::instruction : Task::text;
  SamplerOptions& s = options.sampler;
  s.window = settings.span_tokens();
  s.multi_window = params.window == 0 ? 4 * settings.span_tokens() : at_least("window", params.window, 2);
  s.multi_span_share = share("multi_span_share", params.multi_span_share);
  share("lm_ratio", params.lm_ratio);
  s.lm_ratio = objective == "mix" ? params.lm_ratio : objective == "lm" ? 1 : 0;
  s.min_tokens_for_lm = at_least("min_tokens_for_lm", params.min_tokens_for_lm, 0);
  s.bos = settings.bos;
  options.leave_tokens_for_lm = at_least("leave_tokens_for_lm", params.leave_tokens_for_lm, 0);
  options.pass_tokens = at_least("pass_tokens", params.pass_tokens, 1);
  if (params.spans != "fixed" && params.spans != "balanced")
    throw UsageError("[icae] spans is '{}'; it is fixed or balanced", params.spans);
  options.cut = params.spans == "fixed" ? SpanCut::fixed : SpanCut::balanced;
  options.checkpoint = params.checkpoint;
  if (params.storage != "f32" && params.storage != "bf16")
    throw UsageError("[icae] storage is '{}'; it is f32 or bf16", params.storage);
  options.storage = params.storage == "f32" ? at::kFloat : at::kBFloat16;
  return options;
}

}  // namespace

std::unique_ptr<Objective> open_training(const Model& model, const std::string& objective, const FieldValues& values,
                                         uint64_t seed) {
  TrainingParams params;
  set_fields("icae", params, values);
  if (objective != "ae" && objective != "lm" && objective != "ft" && objective != "mix")
    throw UsageError("[icae] unknown objective '{}'; there are: ae, lm, ft, mix", objective);
  const TableInit init = table_init_named(params.init);
  if (!(params.dropout >= 0 && params.dropout < 1))
    throw UsageError("[icae] dropout is {}; it is 0 or more and below 1", params.dropout);
  Adapter adapter;
  if (params.adapter.empty()) {
    LoraConfig lora{.rank = at_least("rank", params.rank, 1), .alpha = params.alpha, .dropout = params.dropout};
    if (!std::isfinite(params.alpha)) throw UsageError("[icae] alpha is {}", params.alpha);
    adapter = create_adapter(model, fresh_settings(*model.tokenizer, params), lora, init, seed);
  } else {
    adapter = load_adapter(params.adapter, *model.decoder, &model);
    check_against(values, params, adapter);
    adapter.lora = with_dropout(adapter.lora, model.decoder->config(), params.dropout);
  }
  const ObjectiveOptions options = options_of(objective, params, adapter.settings);
  return std::make_unique<IcaeObjective>(model.decoder, model.tokenizer, std::move(adapter), options);
}

}  // namespace steno::icae
