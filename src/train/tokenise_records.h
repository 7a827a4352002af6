// Records of a file as token ids.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/records.h"
#include "io/tokenizer.h"

namespace steno {

// What was read from one file, and what of it could not be learned from.
struct TokenisedSource {
  DataSource source;
  int64_t texts = 0, questions = 0;  // documents and dialogues; question-answer pairs
  int64_t unanswered = 0;            // questions without an answer of at least one token: left out
  int64_t tokens = 0;                // of what was handed on, an answer alternative included
  Json to_json() const;
};

using RecordParts = std::vector<std::span<const TokenId>>;

// Hands each record to `add`, in the order of the file: a text as one part (a dialogue is one line for each utterance,
// "speaker: text"); a question as context, question and its answers. No special tokens are added, and those spelled in
// a text stay text. Uses all threads. `options` as for read_records; a text that the tokenizer cannot express is a bad
// record too. Throws InputError that names the file and the line or record; Interrupted.
TokenisedSource tokenise_file(const std::filesystem::path& path, const Tokenizer& tokenizer, const ReadOptions& options,
                              const std::function<void(const RecordParts&)>& add);

}  // namespace steno
