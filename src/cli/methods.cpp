// steno methods: what there is.
#include "cli/verb.h"
#include "methods/method.h"

namespace steno {
namespace {

Json method_json(const Method& method) {
  Json parameters = Json::array();
  for (const FieldInfo& field : method.parameters())
    parameters.push_back({{"name", field.name}, {"type", field.type}, {"default", field.value}, {"help", field.help}});
  return {{"name", method.name()},
          {"version", method.version()},
          {"summary", method.summary()},
          {"has_budget", method.has_budget()},
          {"needs_training", method.needs_training()},
          {"parameters", std::move(parameters)}};
}

std::string method_text(const Method& method, size_t width) {
  std::string text = fmt::format("{:<{}}  {}{}\n", method.name(), width, method.summary(),
                                 method.needs_training() ? " (needs training)" : " (no training)");
  for (const FieldInfo& field : method.parameters())
    text += fmt::format("{:<{}}    --param {}={}  {}\n", "", width, field.name, field.value, field.help);
  return text;
}

class Methods : public Verb {
 public:
  explicit Methods(CLI::App& root) : Verb(root, "methods", "List the methods that keep a memory") {
    app_->add_flag("--names", names_, "names only, one a line");
  }

  void run(StandardOutput& out) override {
    if (common_.json) {
      Json list = Json::array();
      for (const Method* method : methods()) list.push_back(method_json(*method));
      return out.write_json(Json{{"methods", std::move(list)}});
    }
    size_t width = 0;
    for (const Method* method : methods()) width = std::max(width, method->name().size());
    std::string text;
    for (const Method* method : methods()) text += names_ ? method->name() + "\n" : method_text(*method, width);
    out.write(text);
  }

 private:
  bool names_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_methods(CLI::App& root) { return std::make_unique<Methods>(root); }

}  // namespace steno
