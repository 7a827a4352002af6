// What was read, kept and dropped, and how long it took: for people and for programs.
#pragma once
#include <string>

#include "cli/output.h"
#include "memory/stream.h"

namespace steno {

struct RunReport {
  Accounting memory;
  int64_t read_tokens = 0;  // tokens that read_s is for
  double read_s = 0;
  double first_token_s = 0;  // of the first answer, from its question to its first token
  int64_t decoded_tokens = 0;
  double decode_s = 0;  // over all answers
};

// "kept 256 of 8,536 tokens; dropped tokens 4..8283"
std::string kept_text(const Accounting& memory);
// "answer  first token after ...": one line with its break.
std::string answer_text(const RunReport& report);
// Several lines, the last with a line break.
std::string report_text(const RunReport& report);
Json report_json(const RunReport& report);

}  // namespace steno
