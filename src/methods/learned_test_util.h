// For tests only: what a learned method needs in order to run, on tiny models.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/files_test_util.h"
#include "io/json.h"
#include "methods/method.h"
#include "methods/method_test_util.h"

namespace steno::test {

// Where a learned method finds what it learned: an adapter that was not trained yet, with small spans; made once.
inline FieldValues learned(const Method& method, const std::string& model) {
  if (!method.needs_training()) return {};
  static std::map<std::string, std::string> folders;
  std::string& folder = folders[method.name() + "_" + model];
  if (folder.empty()) {
    folder = test::program_file("adapter_" + method.name() + "_" + model);
    const FieldValues sizes = {{"k", "2"}, {"ratio", "4"}, {"rank", "2"}};
    FieldValues small;
    for (const FieldInfo& field : method.training_parameters())
      if (sizes.contains(field.name)) small[field.name] = sizes.at(field.name);
    const Model base = load_model(tiny_folder(model), {.dtype = at::kFloat});
    method.open_objective(base, method.objectives().front(), small, 1)->save(folder, Json::object());
  }
  return {{"adapter", folder}};
}

}  // namespace steno::test
