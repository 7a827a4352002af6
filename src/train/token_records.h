// Token ids of records: a text is one part; a question is context, question and its accepted answers.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

// A table of records over one row of ids. Tensors may be views of a mapped file. Immutable; safe from any number of
// threads.
class TokenRecords {
 public:
  // tokens [T] uint16 or int32; parts [P, 2] int64: first token and length; records [R + 1] int64: first part of each
  // record, and P. All on the CPU and contiguous. Throws InputError that begins with `where` unless every range lies in
  // its table, every id in [0, vocab), and every record has one part or at least three.
  TokenRecords(at::Tensor tokens, at::Tensor parts, at::Tensor records, int64_t vocab, const std::string& where);

  int64_t size() const { return records_.numel() - 1; }
  int64_t total_tokens() const { return tokens_.numel(); }
  int64_t parts_of(int64_t record) const { return first_part_[record + 1] - first_part_[record]; }
  int64_t length(int64_t record, int64_t part) const { return range(record, part)[1]; }
  // Ids begin..begin + count of a part, behind what `out` holds.
  void append(int64_t record, int64_t part, int64_t begin, int64_t count, std::vector<TokenId>& out) const;
  std::vector<TokenId> part(int64_t record, int64_t part) const;

  const at::Tensor& tokens() const { return tokens_; }
  const at::Tensor& parts() const { return parts_; }
  const at::Tensor& records() const { return records_; }

 private:
  const int64_t* range(int64_t record, int64_t part) const { return range_ + 2 * (first_part_[record] + part); }

  at::Tensor tokens_, parts_, records_;
  const int64_t *range_, *first_part_;
};

// Ids are kept as uint16 where the vocabulary allows.
class TokenRecordsBuilder {
 public:
  explicit TokenRecordsBuilder(int64_t vocab);

  // One part, or at least three; ids below `vocab`. A context that equals the one of the record before is kept once.
  void add(const std::vector<std::span<const TokenId>>& parts);
  int64_t size() const { return static_cast<int64_t>(records_.size()) - 1; }
  // What the tables take, now and at most after one more record of these parts.
  int64_t bytes() const;
  int64_t bytes_with(const std::vector<std::span<const TokenId>>& parts) const;
  // Empties the builder.
  TokenRecords finish();

 private:
  void append(std::span<const TokenId> ids);

  int64_t vocab_;
  std::vector<uint16_t> narrow_;
  std::vector<int32_t> wide_;
  std::vector<int64_t> parts_, records_{0};
  std::vector<TokenId> context_;  // of the last record when it was a question
};

}  // namespace steno
