// Memories opened for answering: what is read of them for a question, and what a reader must be told about it.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/output.h"
#include "memory/passage.h"

namespace steno {

// What was read for one answer.
struct BookReading {
  PassageChoice choice;
  int64_t room = 0;                         // positions that there were for spans
  int64_t slots = 0, slot_tokens = 0;       // of the spans that were read as slots, and the tokens they stand for
  int64_t text_spans = 0, text_tokens = 0;  // read as text
  int64_t unread_tokens = 0;                // that the spans not read stand for
};

class MemoryBook {
 public:
  // `opening`: the tokens before the first passage. `most`: positions that passages may take where the window leaves
  // more; 0: no such limit.
  MemoryBook(std::shared_ptr<const Compressor> compressor, std::vector<Passage> passages, std::vector<TokenId> opening,
             ChoiceRule rule, int64_t most = 0);

  // A stream that has read the opening, what is chosen for `question` (its own words alone), and the token for
  // instructions; the turn's end is to be fed next. `others`: positions that question, frame and answer will take.
  // `keep`: a copy is kept for the next question, so that spans are read again only when others are chosen for it.
  // Throws as choose_passages() and read_passages() do.
  std::unique_ptr<Stream> open(
      std::span<const TokenId> question, int64_t others, bool keep,
      const std::function<void(const char* action, int64_t done, int64_t total)>& progress = {});
  const BookReading& reading() const { return reading_; }  // of the last open()
  // Positions of all passages, and the tokens that they stand for.
  int64_t positions() const { return positions_; }
  int64_t source_tokens() const { return source_tokens_; }
  const std::vector<Passage>& passages() const { return passages_; }
  const Compressor& compressor() const { return *compressor_; }

 private:
  std::shared_ptr<const Compressor> compressor_;
  std::vector<Passage> passages_;
  std::vector<TokenId> opening_;
  ChoiceRule rule_;
  int64_t most_;
  int64_t positions_ = 0, source_tokens_ = 0;
  std::unique_ptr<Stream> base_;  // has read what reading_ says
  BookReading reading_;
};

// book.open() for a question as the user wrote it, with progress bars on standard error.
std::unique_ptr<Stream> open_book(MemoryBook& book, const std::string& question, int64_t others, bool keep,
                                  const Tokenizer& tokenizer, bool show_progress);

// "0..3, 7, 9..12"
std::string ranges_text(std::span<const size_t> indices);

// Keys and values while answering, against what the same text would take without a memory.
struct AnswerBytes {
  int64_t resident = 0, dense = 0;
  double share() const { return dense > 0 ? static_cast<double>(resident) / static_cast<double>(dense) : 0; }
};
// Of a stream that has answered: every token that it stands for would be one more row.
AnswerBytes answer_bytes(const Accounting& memory);

// Several lines, the last with a line break.
std::string reading_text(const MemoryBook& book, const BookReading& reading, const AnswerBytes& bytes);
Json reading_json(const MemoryBook& book, const BookReading& reading, const AnswerBytes& bytes);

}  // namespace steno
