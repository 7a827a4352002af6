// The losses of ICAE (icae, section 5) on an adapter that is being trained.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "methods/icae/adapter.h"
#include "methods/icae/layout.h"
#include "train/objective.h"

namespace steno::icae {

enum class Task { text, instruction };
enum class SpanCut { fixed, balanced };

struct ObjectiveOptions {
  Task task = Task::text;
  SamplerOptions sampler;  // lm_ratio 0 is autoencoding alone, 1 continuation wherever the text is long enough
  SpanCut cut = SpanCut::fixed;
  int64_t leave_tokens_for_lm = 8;
  int64_t pass_tokens = 4096;
  bool checkpoint = false;
  at::ScalarType storage = at::kFloat;
};

// Losses by name: "ae", "lm", "ft", each with ".multi" behind it where a text took more than one span, so that the
// share of those is in the log. Texts that are cut to the window of an instruction are counted in what save() writes.
class IcaeObjective : public Objective {
 public:
  // The adapter's tensors become leaves that want gradients.
  IcaeObjective(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Tokenizer> tokenizer, Adapter adapter,
                const ObjectiveOptions& options);

  std::vector<Parameter> parameters() const override;
  int64_t parts() const override { return options_.task == Task::instruction ? 3 : 1; }
  LossSums accumulate(std::span<const Example> batch, uint64_t seed) override;
  LossSums evaluate(std::span<const Example> batch, uint64_t seed) override;
  // Rebuilds the first span of a text, or answers the prompt of an instruction.
  std::vector<TrainingSample> write_samples(std::span<const Example> batch) override;
  void save(const std::filesystem::path& folder, const Json& provenance) const override;

  const Adapter& adapter() const { return *adapter_; }
  // What is made of an example: every choice comes from (seed, example.sample). No ids: nothing to learn from it.
  Layout layout(const Example& example, uint64_t seed);

 private:
  LossSums run(std::span<const Example> batch, uint64_t seed, bool learn);
  LossSums run_pass(std::span<const Layout> layouts, bool learn);
  Spans cut(const std::vector<TokenId>& text) const;
  std::string write(const Example& example) const;

  std::shared_ptr<const Decoder> decoder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<Adapter> adapter_;
  ObjectiveOptions options_;
  IdPlan plan_;
  int64_t cut_contexts_ = 0;  // of instructions, since the start of the process
};

// Sums of the token losses, by name, with gradients where they are recorded. A batch of one pass: all spans of all
// layouts are encoded together, then all sequences are decoded together.
struct PassLoss {
  at::Tensor total;  // scalar f32
  LossSums sums;
};
PassLoss pass_loss(const Decoder& decoder, const Adapter& adapter, std::span<const Layout> layouts, bool checkpoint);

}  // namespace steno::icae
