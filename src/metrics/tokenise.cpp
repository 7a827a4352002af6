#include "metrics/tokenise.h"

#include "metrics/porter_stemmer.h"
#include "metrics/regex.h"

namespace steno {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

}  // namespace

Tokens tokenise_13a(std::string_view text) {
  // { to ~, [ to `, space to &, ( to +, : to @, and /: all ASCII punctuation but ' , - .
  static const Regex symbol("([{-~\\[-` -&(-+:-@/])");
  static const Regex mark_after_other("([^0-9])([.,])"), mark_before_other("([.,])([^0-9])");
  static const Regex dash_after_digit("([0-9])(-)");
  std::string line = to_valid_utf8(text);
  replace_all(line, "<skipped>", "");
  replace_all(line, "-\n", "");
  replace_all(line, "\n", " ");
  replace_all(line, "&quot;", "\"");
  replace_all(line, "&amp;", "&");
  replace_all(line, "&lt;", "<");
  replace_all(line, "&gt;", ">");
  line = symbol.replace(" " + line + " ", " $1 ");
  line = mark_after_other.replace(line, "$1 $2 ");
  line = mark_before_other.replace(line, " $1 $2");
  line = dash_after_digit.replace(line, "$1 $2 ");
  return split_spaces(line);
}

Tokens tokenise_rouge(std::string_view text, bool stem) {
  Tokens tokens;
  std::string token;
  const auto finish = [&] {
    if (!token.empty()) tokens.push_back(stem && token.size() > 3 ? porter_stem(token) : token);
    token.clear();
  };
  for (const char c : to_lower(text))
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      token += c;
    else
      finish();
  finish();
  return tokens;
}

Tokens tokenise_characters(std::string_view text) {
  Tokens tokens;
  for (const char32_t character : to_characters(text)) tokens.push_back(to_utf8({&character, 1}));
  return tokens;
}

}  // namespace steno
