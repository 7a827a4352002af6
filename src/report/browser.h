// The items of a run as data for the page's script, which shows them a page at a time.
#pragma once
#include <cstdint>

#include "report/result.h"

namespace steno::report {

struct BrowserData {
  Json json;
  int64_t texts = 0, shortened = 0;  // different texts; those longer than the limit
  int64_t binned = 0;                // items whose kept ranges are shown as shares of equal parts of the context
};

// The score that says whether an item is right: the headline where items carry it, else "correct", else the first name.
// "" without scores.
std::string item_score(const Run& run);

// Texts of more than `text_limit` characters (0: no limit) lose their middle, which is said in their place.
BrowserData browser_data(const Run& run, int64_t text_limit);

// `text` itself, or its beginning and end with a note of how many characters are missing between them.
std::string shorten(const std::string& text, int64_t limit);

// Share of every one of `parts` equal parts of [0, tokens) that is kept, as digits: '0' nothing, '9' everything.
std::string kept_shares(const std::vector<Range>& kept, int64_t tokens, int parts);

}  // namespace steno::report
