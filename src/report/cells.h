// Figures over the dimensions of a task's cells: curves for one dimension, heat maps for two.
#pragma once
#include <vector>

#include "report/figures.h"

namespace steno::report {

// A grid: names of dimensions that some cells have, all of them together. Tasks may group the same items more than once
// (by source, and by position), so a run may have several.
using Grid = std::vector<std::string>;
// The grids of a run, dimensions with a single value left out, in the order in which heat maps want them: what stands
// in the columns comes last ("length" if there is one), what stands in the rows before it ("depth" if there is one).
std::vector<Grid> grids(const Run& run);
// Different values of a dimension over all arms: ascending where all are numbers, else in the order of appearance.
std::vector<std::string> values_of(const Run& run, const std::string& dimension);

// True where summary.json gives figures by this dimension.
bool has_dimension(const Run& run, const std::string& dimension);

void add_cell_figures(const Run& run, const Styles& styles, std::vector<Figure>& figures);

}  // namespace steno::report
