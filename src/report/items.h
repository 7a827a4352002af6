// Single items of a run (items.jsonl), and what follows from them.
#pragma once
#include <filesystem>

#include "report/fields.h"
#include "report/result.h"

namespace steno::report {

// The member "cell" of `owner`, or an empty one.
CellKey parse_cell(const Fields& owner);

// Appends to run.items and counts per arm. Throws InputError that names the line: one that is cut or not JSON, an arm
// that run.json does not have, an (arm, item) pair that comes twice.
void read_items(const std::filesystem::path& path, Run& run);

// Mean times; for an unfinished run also n, mean scores, cells, bytes and speeds as far as they are known, and for a
// finished one a note where summary and items do not count the same.
void complete_from_items(Run& run);

}  // namespace steno::report
