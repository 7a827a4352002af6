// One way to keep the memory. Every item of a run is done once with each arm.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "methods/method.h"

namespace steno {

enum class Control {
  none,
  closed_book,  // the question without its context
  full_context  // nothing dropped
};
const char* control_name(Control control);  // "closed-book", "full-context", "" for none

struct Arm {
  std::string id;  // "h2o-512"; unique in a run
  const Method* method = nullptr;
  StreamOptions options;
  Control control = Control::none;
  bool query_aware = false;  // context and question are read in one feed: the rule may look at the question

  std::unique_ptr<Stream> open(std::shared_ptr<const Decoder> decoder) const {
    return method->open_stream(std::move(decoder), options);
  }
};

struct ArmChoice {
  std::vector<std::string> methods;           // names, each once
  std::vector<int64_t> budgets;               // none: the method's own default
  int64_t chunk_size = 0;                     // 0: the method's own
  std::map<std::string, FieldValues> params;  // by method
  bool query_aware = false, controls = false;
};

// Methods times budgets; methods without a budget once. Opens a stream of each on `decoder`, so that options which make
// no sense are refused (UsageError) before any work is done.
std::vector<Arm> make_arms(const ArmChoice& choice, const std::shared_ptr<const Decoder>& decoder);
// The entry of run.json. What a learned method reads beside the model stands in it as a hash, since a path may hold
// another adapter tomorrow. Throws InputError for an adapter of another model.
Json arm_json(const Arm& arm, const Model& model);

}  // namespace steno
