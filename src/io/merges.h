// Merges as files spell them, checked against the vocabulary.
#pragma once
#include <string>
#include <string_view>

#include "io/vocabulary.h"

namespace steno {

// Adds the merge "left right" with this rank. `joined` is room that is used again. Throws InputError when a part is
// empty (such merges could go round for ever), when a part or the result is no ordinary token, or when the pair is
// there already.
void add_merge(MergeTable& merges, const Vocabulary& vocabulary, std::string_view left, std::string_view right,
               size_t rank, std::string& joined, const std::string& where);

}  // namespace steno
