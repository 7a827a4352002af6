#include "eval/arm.h"

#include <algorithm>

namespace steno {
namespace {

// A parameter of the arm's method as it is in force, or "" where the method has none of that name.
std::string parameter(const Arm& arm, const std::string& name) {
  for (const FieldInfo& field : arm.method->parameters()) {
    if (field.name != name) continue;
    const auto given = arm.options.params.find(name);
    return given == arm.options.params.end() ? field.value : given->second;
  }
  return "";
}

std::string arm_id(const Arm& arm, bool has_budget) {
  std::string id = arm.method->name();
  if (has_budget) id += "-" + std::to_string(arm.options.budget);
  for (const auto& [name, value] : arm.options.params) id += "," + name + "=" + value;
  if (arm.query_aware) id += ",query-aware";
  return id;
}

Arm control_arm(Control control, int64_t chunk_size) {
  Arm arm;
  arm.id = control_name(control);
  arm.method = &method_named("dense");
  arm.options.chunk_size = chunk_size;
  arm.control = control;
  return arm;
}

}  // namespace

const char* control_name(Control control) {
  switch (control) {
    case Control::none:
      return "";
    case Control::closed_book:
      return "closed-book";
    case Control::full_context:
      return "full-context";
  }
  return "";
}

std::vector<Arm> make_arms(const ArmChoice& choice, const std::shared_ptr<const Decoder>& decoder) {
  std::vector<Arm> arms;
  // The controls first: they tell early whether the model can do the task at all.
  if (choice.controls)
    for (const Control control : {Control::closed_book, Control::full_context})
      arms.push_back(control_arm(control, choice.chunk_size));
  for (const auto& [name, params] : choice.params)
    if (std::find(choice.methods.begin(), choice.methods.end(), name) == choice.methods.end())
      throw UsageError("[eval] --params names the method '{}', which --method does not", name);
  for (const std::string& name : choice.methods) {
    Arm arm;
    arm.method = &method_named(name);
    arm.query_aware = choice.query_aware;
    arm.options.chunk_size = choice.chunk_size;
    if (const auto found = choice.params.find(name); found != choice.params.end()) arm.options.params = found->second;
    const bool has_budget = arm.method->has_budget() && !choice.budgets.empty();
    for (const int64_t budget : has_budget ? choice.budgets : std::vector<int64_t>{0}) {
      arm.options.budget = budget;
      arm.id = arm_id(arm, has_budget);
      arms.push_back(arm);
    }
  }
  for (size_t i = 0; i < arms.size(); ++i) {
    for (size_t j = 0; j < i; ++j)
      if (arms[i].id == arms[j].id) throw UsageError("[eval] '{}' is asked for twice", arms[i].id);
    arms[i].open(decoder);
  }
  return arms;
}

Json arm_json(const Arm& arm, const Model& model) {
  const auto stream = arm.open(model.decoder);
  FieldValues params;
  for (const FieldInfo& field : arm.method->parameters()) params[field.name] = field.value;
  for (const auto& [name, value] : arm.options.params) params[name] = value;
  const std::string positions = parameter(arm, "positions");
  const std::string reading = stream->accounting().reading;
  Json json = {{"id", arm.id},
               {"method", arm.method->name()},
               {"version", arm.method->version()},
               {"budget", arm.options.budget > 0 ? Json(arm.options.budget) : Json()},
               {"params", params},
               // Without such a parameter every token keeps the position it was read at.
               {"positions", positions.empty() ? "gaps" : positions},
               {"chunk", stream->chunk_size()},
               {"reading", reading.empty() ? fmt::format("chunks of {}", stream->chunk_size()) : reading},
               {"query_aware", arm.query_aware || arm.method->query_aware()},
               {"control", arm.control == Control::none ? Json() : Json(control_name(arm.control))}};
  if (const auto compressor = arm.method->open_compressor(model, arm.options.params))
    json["identity"] = compressor->identity();
  return json;
}

}  // namespace steno
