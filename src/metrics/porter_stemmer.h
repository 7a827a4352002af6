// The Porter stemmer (M. F. Porter, "An algorithm for suffix stripping", 1980) with the changes that NLTK makes by
// default (mode NLTK_EXTENSIONS), which rouge_score uses. Snowball's "porter" has none of them and gives other stems.
#pragma once
#include <string>
#include <string_view>

namespace steno {

// The stem of a word of [a-z0-9].
std::string porter_stem(std::string_view word);

}  // namespace steno
