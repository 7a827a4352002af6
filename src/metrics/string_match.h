// Scores that ask whether given strings occur in an output: RULER's two, keyword recall for needles, and recall of
// numbers and names. Case does not count. All are shares in [0, 1]; RULER's tables show them times 100.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace steno {

// RULER's cleaning before a match: space around the text is taken off, control characters below U+0020 become newlines.
std::string clean_ruler_output(std::string_view output);

// string_match_all and string_match_part of NVIDIA/RULER for one sample: the share of `references` that occur in the
// cleaned output as substrings, and 1 if any occurs. Both reward an output that lists everything, a known weakness.
// Without references: 0.
double string_match_all(std::string_view output, std::span<const std::string> references);
double string_match_part(std::string_view output, std::span<const std::string> references);

// Share of `keywords` (words or phrases) that occur in `output` as whole words: "eat" is not found in "great".
// An answer about a needle is correct when this is 1 for the needle's key words. Without keywords: 0.
double keyword_recall(std::string_view output, std::span<const std::string> keywords);

// Share of the runs of digits in `reference`, repeats included, that `output` has as well, each used once. A BLEU near
// 1 can hide wrong numbers; this does not. A reference without digits gives NaN: there is nothing to recall.
double digit_recall(std::string_view output, std::string_view reference);

// The same for names: words of `reference` that begin with a capital and do not begin a sentence, without the
// punctuation around them. They must stand in `output` with the same letters, in any place. NaN without such words. A
// rough stand-in for entities in languages that write names so; of no use for text in capitals or without case.
double name_recall(std::string_view output, std::string_view reference);

}  // namespace steno
