#include "methods/icae/objective.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "memory/compressor.h"
#include "methods/icae/encoder.h"
#include "methods/icae/reader.h"
#include "model/token_loss.h"

namespace steno::icae {
namespace {

// Two numbers to one, so that neighbouring samples have nothing in common.
uint64_t mixed(uint64_t seed, uint64_t sample) { return Random(Random(seed).next() ^ sample).next(); }

std::vector<TokenId> first_tokens(const std::vector<TokenId>& ids, int64_t count) {
  return {ids.begin(), ids.begin() + std::min<int64_t>(count, static_cast<int64_t>(ids.size()))};
}

}  // namespace

PassLoss pass_loss(const Decoder& decoder, const Adapter& adapter, std::span<const Layout> layouts, bool checkpoint) {
  Spans spans;
  std::vector<std::vector<int64_t>> sequences, positions;
  for (const Layout& layout : layouts) {
    positions.push_back(layout.positions);
    spans.insert(spans.end(), layout.spans.begin(), layout.spans.end());
    sequences.push_back(layout.ids);
  }
  const at::Tensor slots = encode_spans(decoder, adapter, spans, checkpoint).flatten(0, 1);
  Input in;
  in.embeddings = embed_sequences(decoder, adapter, sequences, slots);
  // Undefined, they are those of the standard layout.
  if (adapter.settings.position_layout() != PositionLayout::standard) in.positions = positions_of(decoder, positions);
  in.logits = LogitRows::none;
  in.checkpoint_blocks = checkpoint;
  const at::Tensor hidden = decoder.run(in).hidden;
  const int64_t steps = hidden.size(1);

  struct Rows {
    std::vector<int64_t> places, targets;
    int64_t examples = 0;
  };
  std::map<std::string, Rows> by_name;
  for (size_t b = 0; b < layouts.size(); ++b) {
    const Layout& layout = layouts[b];
    Rows& rows = by_name[layout.objective + (layout.spans.size() > 1 ? ".multi" : "")];
    ++rows.examples;
    for (size_t i = 1; i < layout.labels.size(); ++i) {
      if (layout.labels[i] == kIgnored) continue;
      rows.places.push_back(static_cast<int64_t>(b) * steps + static_cast<int64_t>(i) - 1);
      rows.targets.push_back(layout.labels[i]);
    }
  }
  PassLoss loss;
  for (const auto& [name, rows] : by_name) {
    LossSum& sum = loss.sums[name];
    sum.examples = rows.examples;
    sum.tokens = static_cast<int64_t>(rows.targets.size());
    if (sum.tokens == 0) continue;
    const at::Device device = hidden.device();
    const at::Tensor nll =
        sum_nll(decoder, hidden.flatten(0, 1).index_select(0, at::tensor(rows.places, at::kLong).to(device)),
                at::tensor(rows.targets, at::kLong).to(device));
    sum.loss = nll.item<double>();
    loss.total = loss.total.defined() ? loss.total + nll : nll;
  }
  return loss;
}

IcaeObjective::IcaeObjective(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Tokenizer> tokenizer,
                             Adapter adapter, const ObjectiveOptions& options)
    : decoder_(std::move(decoder)),
      tokenizer_(std::move(tokenizer)),
      adapter_(std::make_shared<Adapter>(std::move(adapter))),
      options_(options),
      plan_(adapter_->plan(decoder_->config())) {
  if (options_.task == Task::instruction) adapter_->settings.instruct = true;
  for (const auto& [name, value] : adapter_->named_parameters()) at::Tensor(value).requires_grad_(true);
}

std::vector<Parameter> IcaeObjective::parameters() const {
  std::vector<Parameter> parameters;
  for (const auto& [name, value] : adapter_->named_parameters())
    parameters.push_back({name, value, name != "embeddings" && !name.ends_with(".bias")});
  return parameters;
}

Spans IcaeObjective::cut(const std::vector<TokenId>& text) const {
  const int64_t span = adapter_->settings.span_tokens();
  return options_.cut == SpanCut::fixed ? cut_fixed(text, span) : cut_balanced(text, span);
}

Layout IcaeObjective::layout(const Example& example, uint64_t seed) {
  const Settings& settings = adapter_->settings;
  if (options_.task == Task::instruction) {
    if (example.parts.size() != 3)
      throw InputError("[icae] sample {}: instructions need a context, a prompt and an answer", example.sample);
    const auto& context = example.parts[0];
    if (context.empty()) return {.objective = "ft"};
    std::vector<TokenId> read;
    if (settings.bos >= 0) read.push_back(static_cast<TokenId>(settings.bos));
    const int64_t room = options_.sampler.multi_window - static_cast<int64_t>(read.size());
    cut_contexts_ += static_cast<int64_t>(context.size()) > room;
    const auto kept = first_tokens(context, room);
    read.insert(read.end(), kept.begin(), kept.end());
    return instruction(plan_, settings, cut(read), example.parts[1], example.parts[2]);
  }
  if (example.parts.size() != 1)
    throw InputError("[icae] sample {}: a text has one part, this has {}; instructions are trained by --objective ft",
                     example.sample, example.parts.size());
  Random random(mixed(seed, example.sample));
  const Draw draw = draw_text(example.parts[0], options_.sampler, random);
  if (draw.read.empty()) return {.objective = "ae"};
  return draw.next.empty() ? autoencoding(plan_, settings, cut(draw.read))
                           : continuation(plan_, settings, cut(draw.read), draw.next, options_.leave_tokens_for_lm);
}

LossSums IcaeObjective::accumulate(std::span<const Example> batch, uint64_t seed) {
  const at::AutoGradMode grad(true);
  return run(batch, seed, true);
}

LossSums IcaeObjective::evaluate(std::span<const Example> batch, uint64_t seed) {
  const at::NoGradGuard no_grad;
  return run(batch, seed, false);
}

LossSums IcaeObjective::run(std::span<const Example> batch, uint64_t seed, bool learn) {
  LossSums sums;
  std::vector<Layout> pass;
  int64_t longest = 0, longest_span = 0, spans = 0;
  const auto finish = [&] {
    if (pass.empty()) return;
    for (const auto& [name, sum] : run_pass(pass, learn)) sums[name] += sum;
    pass.clear();
    longest = longest_span = spans = 0;
  };
  for (const Example& example : batch) {
    Layout next = layout(example, seed);
    if (next.supervised() == 0) {
      sums[next.objective].examples += 1;
      continue;
    }
    const auto length = static_cast<int64_t>(next.ids.size());
    const auto own = static_cast<int64_t>(next.spans.size());
    const int64_t own_span = static_cast<int64_t>(next.spans[0].size()) + plan_.k;
    const int64_t decoder_tokens = static_cast<int64_t>(pass.size() + 1) * std::max(longest, length);
    const int64_t encoder_tokens = (spans + own) * std::max(longest_span, own_span);
    if (std::max(decoder_tokens, encoder_tokens) > options_.pass_tokens) finish();
    longest = std::max(longest, length);
    longest_span = std::max(longest_span, own_span);
    spans += own;
    pass.push_back(std::move(next));
  }
  finish();
  return sums;
}

LossSums IcaeObjective::run_pass(std::span<const Layout> layouts, bool learn) {
  const PassLoss loss = pass_loss(*decoder_, *adapter_, layouts, learn && options_.checkpoint);
  if (learn && loss.total.defined()) loss.total.backward();
  return loss.sums;
}

std::vector<TrainingSample> IcaeObjective::write_samples(std::span<const Example> batch) {
  const at::NoGradGuard no_grad;
  std::vector<TrainingSample> samples;
  for (const Example& example : batch) {
    if (example.parts.empty() || example.parts[0].empty()) continue;
    const bool asks = options_.task == Task::instruction;
    const int64_t room = options_.sampler.window - (adapter_->settings.bos >= 0 ? 1 : 0);
    const auto source = asks ? example.parts[1] : first_tokens(example.parts[0], room);
    samples.push_back({tokenizer_->decode(source, true), write(example)});
  }
  return samples;
}

std::string IcaeObjective::write(const Example& example) const {
  const Settings& settings = adapter_->settings;
  const bool asks = options_.task == Task::instruction;
  std::vector<TokenId> text;
  if (settings.bos >= 0) text.push_back(static_cast<TokenId>(settings.bos));
  const int64_t window = asks ? options_.sampler.multi_window : options_.sampler.window;
  const auto kept = first_tokens(example.parts[0], window - static_cast<int64_t>(text.size()));
  text.insert(text.end(), kept.begin(), kept.end());

  Reader reader(decoder_, adapter_, {}, 2048);
  if (asks) reader.feed(ids_of(settings.before), LogitRows::none, {});
  for (const auto& span : cut(text)) {
    const auto tokens = static_cast<int64_t>(span.size());
    reader.read_embeddings(encode_spans(*decoder_, *adapter_, std::span(&span, 1))[0], std::span(&tokens, 1), tokens);
  }
  at::Tensor logits = reader.begin(asks ? ReaderTask::instruct : ReaderTask::reconstruct, LogitRows::last).logits;
  if (asks) {
    std::vector<TokenId> prompt = example.parts[1];
    const auto after = ids_of(settings.after);
    prompt.insert(prompt.end(), after.begin(), after.end());
    if (!prompt.empty()) logits = reader.feed(prompt, LogitRows::last, {}).logits;
  }
  const int64_t end = asks ? settings.answer_end : settings.eos;
  const auto limit = static_cast<int64_t>(asks ? 2 * example.parts[2].size() : text.size()) + 10;
  std::vector<TokenId> written;
  while (static_cast<int64_t>(written.size()) < limit) {
    const auto id = static_cast<TokenId>(logits[-1].argmax().item<int64_t>());
    if (id == end) break;
    written.push_back(id);
    logits = reader.feed(std::span(written).last(1), LogitRows::last, {}).logits;
  }
  return tokenizer_->decode(written, true);
}

void IcaeObjective::save(const std::filesystem::path& folder, const Json& provenance) const {
  Json all = provenance.is_object() ? provenance : Json::object();
  all["contexts_cut_to_window"] = cut_contexts_;
  save_adapter(*adapter_, folder, options_.storage, all);
}

}  // namespace steno::icae
