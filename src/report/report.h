// One page, and pictures, of result directories.
#pragma once
#include <string>
#include <vector>

#include "report/result.h"

namespace steno::report {

struct ReportOptions {
  int64_t text_limit = 4000;  // characters of a single text; 0: none
};

struct Report {
  struct Picture {
    std::string name, svg;  // "passkey-correct-against-budget.svg"
  };
  std::string html;
  std::vector<Picture> pictures;
  int64_t items = 0, shortened_texts = 0;
};

// The same bytes for the same runs and options.
Report make_report(const std::vector<Run>& runs, const ReportOptions& options);

}  // namespace steno::report
