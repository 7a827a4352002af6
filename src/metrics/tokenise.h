// Cutting text into the tokens that a metric counts.
#pragma once
#include <string_view>

#include "metrics/python_text.h"

namespace steno {

// mteval-v13a as sacreBLEU 2.6 has it: entities resolved, punctuation and symbols of ASCII split off, periods and
// commas unless between digits, dashes after digits. Case is kept.
Tokens tokenise_13a(std::string_view text);

// rouge_score 0.1.2: lower case, then maximal runs of [a-z0-9]; every other character separates, letters beyond ASCII
// included. With `stem`, tokens of more than three characters are stemmed (porter_stemmer.h).
Tokens tokenise_rouge(std::string_view text, bool stem);

// One token per character (code point), spaces included: what NLTK counts when it is handed a string.
Tokens tokenise_characters(std::string_view text);

// The words of NLTK-style BLEU, Distinct and repetition are split_spaces() of python_text.h: white space separates and
// punctuation stays with its word.

}  // namespace steno
