#include <algorithm>

#include "methods/bigbird/bigbird.h"
#include "methods/dense/dense.h"
#include "methods/fifo/fifo.h"
#include "methods/h2o/h2o.h"
#include "methods/icae/icae.h"
#include "methods/lfa/lfa.h"
#include "methods/lra/lra.h"
#include "methods/method.h"
#include "methods/recompute/recompute.h"
#include "methods/retrieval/retrieval.h"
#include "methods/snapkv/snapkv.h"
#include "methods/streaming_llm/streaming_llm.h"
#include "methods/tova/tova.h"
#include "methods/window/window.h"

namespace steno {

const std::vector<const Method*>& methods() {
  static const std::vector<const Method*> all = {
      dense_method(),
      window_method(),
      streaming_llm_method(),
      bigbird_method(),
      tova_method(),
      h2o_method(),
      snapkv_method(),
      fifo_method(),
      lra_method(),
      lfa_method(),
      recompute_method(),
      retrieval_method(),
      icae_method(),
  };
  return all;
}

namespace {

// Levenshtein distance, for "did you mean".
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

const Method& method_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Method* method : methods()) {
    if (method->name() == name) return *method;
    names.push_back(method->name());
  }
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return edit_distance(name, a) < edit_distance(name, b); });
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  throw UsageError("unknown method '{}'; there are: {}", name, list);
}

}  // namespace steno
