#include "methods/icae/icae.h"

#include <algorithm>

#include "methods/icae/compressor.h"
#include "methods/icae/stream.h"
#include "methods/icae/training.h"

namespace steno {
namespace {

using namespace icae;

struct StreamParams {
  std::string adapter;
  bool task_tokens = true;
  template <class F>
  void visit(F&& f) {
    f("adapter", adapter, "folder of a trained adapter");
    f("task_tokens", task_tokens, "the learned token of the task follows the slots");
  }
};

// Slots and waiting tokens after `tokens` of context, `raw` of them read as they are and `bos` more in the first span.
std::pair<int64_t, int64_t> kept_after(const Settings& s, int64_t tokens, int64_t raw, int64_t bos) {
  const int64_t text = std::max<int64_t>(tokens - raw, 0) + bos;
  const int64_t spans = text / s.span_tokens();
  const int64_t waiting = text % s.span_tokens() - (spans == 0 ? bos : 0);
  return {spans * s.k + std::min(raw, tokens), waiting};
}

class Icae : public Method {
 public:
  std::string name() const override { return "icae"; }
  int version() const override { return kMethodVersion; }
  std::string summary() const override {
    return "an adapter writes spans of text as fewer embeddings, which the model itself reads";
  }
  std::vector<FieldInfo> parameters() const override { return list_fields(StreamParams{}); }
  bool needs_training() const override { return true; }
  bool has_budget() const override { return false; }

  int64_t expected_slots(const StreamOptions& options, int64_t tokens) const override {
    const Settings s = load_settings(params(options).adapter);
    const auto [slots, waiting] = kept(s, tokens);
    return slots + waiting;
  }
  std::pair<int64_t, int64_t> expected_bytes(const StreamOptions& options, int64_t tokens,
                                             int64_t slot_bytes) const override {
    const Settings s = load_settings(params(options).adapter);
    const auto [slots, waiting] = kept(s, tokens);
    const int64_t bytes = slots * slot_bytes + waiting * static_cast<int64_t>(sizeof(TokenId));
    return {bytes, bytes};
  }

  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override {
    const StreamParams p = params(options);
    auto adapter = std::make_shared<const Adapter>(load_adapter(p.adapter, *decoder, nullptr));
    // A chunk is at most a span: progress is told often enough, and what is asked is read in few pieces.
    const int64_t chunk = options.chunk_size > 0 ? options.chunk_size : 512;
    return std::make_unique<IcaeStream>(std::move(decoder), std::move(adapter), p.task_tokens, chunk);
  }

  std::shared_ptr<const Compressor> open_compressor(const Model& model, const FieldValues& values) const override {
    const StreamParams p = params({.params = values});
    return std::make_shared<IcaeCompressor>(
        model.decoder, std::make_shared<const Adapter>(load_adapter(p.adapter, *model.decoder, &model)));
  }

  std::vector<std::string> objectives() const override { return {"ae", "lm", "ft", "mix"}; }
  std::vector<FieldInfo> training_parameters() const override { return list_fields(TrainingParams{}); }
  std::unique_ptr<Objective> open_objective(const Model& model, const std::string& objective, const FieldValues& values,
                                            uint64_t seed) const override {
    return open_training(model, objective, values, seed);
  }

 private:
  StreamParams params(const StreamOptions& options) const {
    StreamParams p;
    set_fields(name(), p, options.params);
    return p;
  }
  // Whether the text begins with the template or with BOS is not known here: the most that can be kept.
  static std::pair<int64_t, int64_t> kept(const Settings& s, int64_t tokens) {
    const auto before = static_cast<int64_t>(ids_of(s.before).size());
    auto most = kept_after(s, tokens, 0, 0);
    for (const int64_t raw : {int64_t{0}, before}) {
      for (const int64_t bos : {int64_t{0}, int64_t{s.bos >= 0}}) {
        const auto other = kept_after(s, tokens, raw, bos);
        if (other.first + other.second > most.first + most.second) most = other;
      }
    }
    return most;
  }
};

}  // namespace

const Method* icae_method() {
  static const Icae method;
  return &method;
}

}  // namespace steno
