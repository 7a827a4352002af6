// Tables of the page, as HTML.
#pragma once
#include <string>
#include <vector>

#include "report/figures.h"
#include "report/result.h"

namespace steno::report {

// Arms in rows, runs in columns, headline in the cells.
std::string overview_matrix(const std::vector<Run>& runs, const Styles& styles);
// One row per run and arm: headline, n, slots, bytes, speeds.
std::string overview_list(const std::vector<Run>& runs, const Styles& styles);
// All metrics of a run, arms in rows.
std::string metrics_table(const Run& run, const Styles& styles);
// Method, parameters and manner of reading of every arm.
std::string arms_table(const Run& run);
// Whether what had to be kept was kept, against whether the answer is right; "" where items do not tell.
std::string needle_table(const Run& run);
// Model, data, seed, settings.
std::string facts(const Run& run);

// The anchor of a run ("run-1") and what people call it ("passkey", with the folder where tasks come twice).
std::string run_anchor(size_t index);
std::string run_name(const std::vector<Run>& runs, size_t index);

}  // namespace steno::report
