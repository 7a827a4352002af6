#include "train/tokenise_records.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "base/interrupt.h"

namespace steno {
namespace {

constexpr size_t kBatchBytes = 4 << 20;  // of text, tokenised together

using Ids = std::vector<TokenId>;

struct Question {
  std::string text;
  std::vector<std::string> answers;
};

struct Pending {
  std::string id, text;             // the first record's id
  std::vector<Question> questions;  // none: the text itself is learned
};

struct Encoded {
  Ids text;
  struct Pair {
    Ids question;
    std::vector<Ids> answers;
  };
  std::vector<Pair> pairs;
  std::string error;
};

Encoded encode(const Pending& pending, const Tokenizer& tokenizer) {
  const auto ids = [&](const std::string& text) {
    return tokenizer.encode(text, {.add_special = false, .parse_special = false});
  };
  Encoded encoded;
  try {
    encoded.text = ids(pending.text);
    for (const Question& question : pending.questions) {
      Encoded::Pair pair{ids(question.text), {}};
      for (const std::string& answer : question.answers)
        if (Ids tokens = ids(answer); !tokens.empty()) pair.answers.push_back(std::move(tokens));
      encoded.pairs.push_back(std::move(pair));
    }
  } catch (const InputError& error) {
    encoded.error = error.what();
  }
  return encoded;
}

class Batches {
 public:
  Batches(const std::filesystem::path& path, const Tokenizer& tokenizer, const ReadOptions& options,
          const std::function<void(const RecordParts&)>& add)
      : path_(path), tokenizer_(tokenizer), options_(options), add_(add) {}

  void take(Record&& record) {
    if (auto* document = std::get_if<DocumentRecord>(&record)) {
      push(document->id, std::move(document->text), {});
    } else if (auto* qa = std::get_if<QaRecord>(&record)) {
      question(qa->id, std::move(qa->context), {std::move(qa->question), std::move(qa->answers)});
    } else if (auto* many = std::get_if<LongQaRecord>(&record)) {
      for (auto& q : many->questions) question(many->id, many->context, {std::move(q.question), std::move(q.answers)});
    } else {
      const auto& dialogue = std::get<DialogueRecord>(record);
      std::string text;
      for (const auto& [speaker, said] : dialogue.utterances)
        text += (text.empty() ? "" : "\n") + (speaker.empty() ? said : speaker + ": " + said);
      push(dialogue.id, std::move(text), {});
    }
  }

  TokenisedSource finish(DataSource source) {
    flush();
    result_.source = std::move(source);
    result_.source.records -= refused_;
    result_.source.skipped += refused_;
    result_.source.bad.insert(result_.source.bad.end(), bad_.begin(), bad_.end());
    return std::move(result_);
  }

 private:
  void push(const std::string& id, std::string&& text, std::vector<Question> questions) {
    if (bytes_ >= kBatchBytes) flush();
    bytes_ += text.size();
    pending_.push_back({id, std::move(text), std::move(questions)});
  }

  // Neighbours with one context are kept, and tokenised, together.
  void question(const std::string& id, std::string context, Question question) {
    if (!pending_.empty() && !pending_.back().questions.empty() && pending_.back().text == context)
      pending_.back().questions.push_back(std::move(question));
    else
      push(id, std::move(context), {std::move(question)});
  }

  void flush() {
    check_interrupt();
    std::vector<Encoded> encoded(pending_.size());
    at::parallel_for(0, static_cast<int64_t>(pending_.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        encoded[static_cast<size_t>(i)] = encode(pending_[static_cast<size_t>(i)], tokenizer_);
    });
    for (size_t i = 0; i < encoded.size(); ++i) {
      if (encoded[i].error.empty())
        hand_on(encoded[i]);
      else
        refuse(pending_[i], encoded[i].error);
    }
    pending_.clear();
    bytes_ = 0;
  }

  void refuse(const Pending& pending, const std::string& error) {
    const std::string line = fmt::format("[data] {}: record '{}': {}", path_.string(), pending.id, error);
    if (!options_.skip_bad)
      throw InputError("{}; mend it, or leave such records out with {}", line, options_.skip_flag);
    refused_ += std::max<int64_t>(1, static_cast<int64_t>(pending.questions.size()));
    if (bad_.empty()) bad_.push_back(line);
  }

  void hand_on(const Encoded& encoded) {
    if (encoded.pairs.empty()) {
      ++result_.texts;
      return give({encoded.text});
    }
    for (const Encoded::Pair& pair : encoded.pairs) {
      if (pair.answers.empty()) {
        ++result_.unanswered;
        continue;
      }
      ++result_.questions;
      RecordParts parts = {encoded.text, pair.question};
      parts.insert(parts.end(), pair.answers.begin(), pair.answers.end());
      give(parts);
    }
  }

  void give(const RecordParts& parts) {
    for (const auto& part : parts) result_.tokens += static_cast<int64_t>(part.size());
    add_(parts);
  }

  const std::filesystem::path& path_;
  const Tokenizer& tokenizer_;
  const ReadOptions& options_;
  const std::function<void(const RecordParts&)>& add_;
  std::vector<Pending> pending_;
  size_t bytes_ = 0;  // of pending_
  TokenisedSource result_;
  int64_t refused_ = 0;
  std::vector<std::string> bad_;
};

}  // namespace

Json TokenisedSource::to_json() const {
  Json json = {{"name", source.name}, {"hash", source.hash},      {"records", source.records},
               {"texts", texts},      {"questions", questions},   {"unanswered", unanswered},
               {"tokens", tokens},    {"skipped", source.skipped}};
  if (!source.bad.empty()) json["bad"] = source.bad;
  return json;
}

TokenisedSource tokenise_file(const std::filesystem::path& path, const Tokenizer& tokenizer, const ReadOptions& options,
                              const std::function<void(const RecordParts&)>& add) {
  Batches batches(path, tokenizer, options, add);
  DataSource source = read_records(path, options, [&](Record&& record) { batches.take(std::move(record)); });
  return batches.finish(std::move(source));
}

}  // namespace steno
