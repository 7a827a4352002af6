#include "cli/memory_book.h"

#include <algorithm>

#include "base/error.h"
#include "cli/progress.h"
#include "cli/text.h"

namespace steno {
namespace {

Json ranges_json(std::span<const size_t> indices) {
  Json ranges = Json::array();
  for (const size_t i : indices) {
    if (!ranges.empty() && ranges.back()[1].get<size_t>() + 1 == i)
      ranges.back()[1] = i;
    else
      ranges.push_back({i, i});
  }
  return ranges;
}

}  // namespace

MemoryBook::MemoryBook(std::shared_ptr<const Compressor> compressor, std::vector<Passage> passages,
                       std::vector<TokenId> opening, ChoiceRule rule, int64_t most)
    : compressor_(std::move(compressor)),
      passages_(std::move(passages)),
      opening_(std::move(opening)),
      rule_(rule),
      most_(most) {
  for (Passage& passage : passages_) {
    if (!passage.raw()) passage.slot_positions = compressor_->span_positions(passage.source_tokens);
    positions_ += passage.positions();
    source_tokens_ += passage.source_tokens;
  }
}

std::unique_ptr<Stream> MemoryBook::open(
    std::span<const TokenId> question, int64_t others, bool keep,
    const std::function<void(const char* action, int64_t done, int64_t total)>& progress) {
  // One position for the token of the task.
  int64_t room = compressor_->window() - static_cast<int64_t>(opening_.size()) - others - 1;
  if (most_ > 0) room = std::min(room, most_);
  PassageChoice choice = choose_passages(*compressor_, opening_, passages_, question, room, rule_, [&](int64_t done) {
    if (progress) progress("choosing", done, static_cast<int64_t>(passages_.size()));
  });
  if (!base_ || choice.read != reading_.choice.read) {
    base_.reset();
    base_ = read_passages(*compressor_, opening_, passages_, choice.read, ReaderTask::instruct, [&](int64_t done) {
      if (progress) progress("reading", done, choice.positions);
    });
  }
  reading_ = {};
  for (const size_t i : choice.read) {
    const Passage& passage = passages_[i];
    reading_.slots += passage.slots;
    if (passage.raw()) ++reading_.text_spans;
    (passage.raw() ? reading_.text_tokens : reading_.slot_tokens) += passage.source_tokens;
  }
  for (const size_t i : choice.unread) reading_.unread_tokens += passages_[i].source_tokens;
  reading_.choice = std::move(choice);
  reading_.room = room;
  return keep ? base_->fork() : std::move(base_);
}

std::unique_ptr<Stream> open_book(MemoryBook& book, const std::string& question, int64_t others, bool keep,
                                  const Tokenizer& tokenizer, bool show_progress) {
  std::optional<Progress> bar;
  std::string_view shown;
  // With the space that words have inside a text: their tokens are then the text's.
  constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};
  auto words = tokenizer.encode(question, kPlain);
  if (!words.empty() && !tokenizer.piece(words.front()).starts_with(' '))
    words = tokenizer.encode(" " + question, kPlain);
  return book.open(words, others, keep, [&](const char* action, int64_t done, int64_t total) {
    if (shown != action) {
      bar.reset();
      bar.emplace(action, total, show_progress);
      shown = action;
    }
    bar->update(done);
  });
}

std::string ranges_text(std::span<const size_t> indices) {
  std::string text;
  for (const Json& range : ranges_json(indices)) {
    const auto first = range[0].get<size_t>(), last = range[1].get<size_t>();
    text += (text.empty() ? "" : ", ") + (first == last ? std::to_string(first) : fmt::format("{}..{}", first, last));
  }
  return text;
}

AnswerBytes answer_bytes(const Accounting& memory) {
  if (memory.slots == 0) return {};
  return {memory.memory_bytes, memory.memory_bytes / memory.slots * memory.source_tokens};
}

std::string reading_text(const MemoryBook& book, const BookReading& reading, const AnswerBytes& bytes) {
  const auto total = static_cast<int64_t>(book.passages().size());
  std::string text;
  if (reading.choice.unread.empty()) {
    text = fmt::format("memory  all {} read: ", plural(total, "span"));
  } else {
    text = fmt::format("memory  {} of {} read, chosen by {}: {}\n", reading.choice.read.size(), plural(total, "span"),
                       choice_rule_name(reading.choice.rule), ranges_text(reading.choice.read));
    text += fmt::format("        not read: {} ({}), for they do not fit into {} of {} positions\n",
                        ranges_text(reading.choice.unread), plural(reading.unread_tokens, "token"),
                        count_text(reading.room), count_text(book.compressor().window()));
    text += "        ";
  }
  if (reading.slots > 0)
    text += fmt::format("{} for {} (ratio {:.1f})", plural(reading.slots, "slot"), plural(reading.slot_tokens, "token"),
                        static_cast<double>(reading.slot_tokens) / static_cast<double>(reading.slots));
  if (reading.text_tokens > 0)
    text += fmt::format("{}{} as text ({})", reading.slots > 0 ? ", " : "", plural(reading.text_tokens, "token"),
                        plural(reading.text_spans, "span"));
  if (bytes.resident > 0)
    text += fmt::format("\nbytes   {} of keys and values while answering; the text itself would take {} ({:.1f}%)",
                        bytes_text(bytes.resident), bytes_text(bytes.dense), 100 * bytes.share());
  return text + "\n";
}

Json reading_json(const MemoryBook& book, const BookReading& reading, const AnswerBytes& bytes) {
  Json unread = Json::array();
  for (const size_t i : reading.choice.unread) unread.push_back(book.passages()[i].source);
  return {{"spans", book.passages().size()},
          {"chosen_by", reading.choice.unread.empty() ? "all" : choice_rule_name(reading.choice.rule)},
          {"read", ranges_json(reading.choice.read)},
          {"unread", ranges_json(reading.choice.unread)},
          {"unread_spans", std::move(unread)},
          {"unread_tokens", reading.unread_tokens},
          {"slots", reading.slots},
          {"slot_tokens", reading.slot_tokens},
          {"text_spans", reading.text_spans},
          {"text_tokens", reading.text_tokens},
          {"room", reading.room},
          {"window", book.compressor().window()},
          {"resident_bytes", bytes.resident},
          {"dense_bytes", bytes.dense}};
}

}  // namespace steno
