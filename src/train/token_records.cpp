#include "train/token_records.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "base/error.h"

namespace steno {
namespace {

constexpr int64_t kNarrow = 1 << 16;

template <class T>
int64_t largest(const at::Tensor& tokens, int64_t& smallest) {
  const T* ids = tokens.const_data_ptr<T>();
  const auto [low, high] = std::minmax_element(ids, ids + tokens.numel());
  smallest = *low;
  return *high;
}

// The tensor takes the vector over.
template <class T>
at::Tensor as_tensor(std::vector<T>&& values, std::vector<int64_t> shape, at::ScalarType dtype) {
  auto held = std::make_shared<std::vector<T>>(std::move(values));
  T* data = held->data();
  if (held->empty()) return at::empty(shape, dtype);
  return at::from_blob(
      data, shape, [held](void*) {}, at::TensorOptions().dtype(dtype));
}

}  // namespace

TokenRecords::TokenRecords(at::Tensor tokens, at::Tensor parts, at::Tensor records, int64_t vocab,
                           const std::string& where)
    : tokens_(std::move(tokens)), parts_(std::move(parts)), records_(std::move(records)) {
  if ((tokens_.scalar_type() != at::kUInt16 && tokens_.scalar_type() != at::kInt) || tokens_.dim() != 1 ||
      parts_.scalar_type() != at::kLong || parts_.dim() != 2 || parts_.size(1) != 2 ||
      records_.scalar_type() != at::kLong || records_.dim() != 1 || records_.numel() < 1)
    throw InputError("{}: the tables have types or shapes that are none of token records", where);
  tokens_ = tokens_.contiguous(), parts_ = parts_.contiguous(), records_ = records_.contiguous();
  range_ = parts_.const_data_ptr<int64_t>();
  first_part_ = records_.const_data_ptr<int64_t>();

  const int64_t count = parts_.size(0), total = tokens_.numel();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = range_[2 * i], length = range_[2 * i + 1];
    if (begin < 0 || length < 0 || begin > total || length > total - begin)
      throw InputError("{}: part {} lies outside of the {} tokens", where, i, total);
  }
  if (first_part_[0] != 0 || first_part_[size()] != count)
    throw InputError("{}: the records do not cover the {} parts", where, count);
  for (int64_t i = 0; i < size(); ++i) {
    const int64_t begin = first_part_[i], end = first_part_[i + 1];
    if (begin < 0 || end <= begin || end > count || end - begin == 2)
      throw InputError("{}: record {} has neither one part nor three or more", where, i);
  }
  if (total == 0) return;
  int64_t low = 0;
  const int64_t high =
      tokens_.scalar_type() == at::kInt ? largest<int32_t>(tokens_, low) : largest<uint16_t>(tokens_, low);
  if (low < 0 || high >= vocab)
    throw InputError("{}: token {} is not in the vocabulary of {}", where, low < 0 ? low : high, vocab);
}

void TokenRecords::append(int64_t record, int64_t part, int64_t begin, int64_t count, std::vector<TokenId>& out) const {
  const int64_t at = range(record, part)[0] + begin;
  if (tokens_.scalar_type() == at::kInt) {
    const int32_t* ids = tokens_.const_data_ptr<int32_t>() + at;
    out.insert(out.end(), ids, ids + count);
  } else {
    const uint16_t* ids = tokens_.const_data_ptr<uint16_t>() + at;
    out.insert(out.end(), ids, ids + count);
  }
}

std::vector<TokenId> TokenRecords::part(int64_t record, int64_t part) const {
  std::vector<TokenId> ids;
  append(record, part, 0, length(record, part), ids);
  return ids;
}

TokenRecordsBuilder::TokenRecordsBuilder(int64_t vocab) : vocab_(vocab) {}

void TokenRecordsBuilder::append(std::span<const TokenId> ids) {
  const size_t begin = narrow_.size() + wide_.size();
  if (vocab_ <= kNarrow)
    for (const TokenId id : ids) narrow_.push_back(static_cast<uint16_t>(id));
  else
    wide_.insert(wide_.end(), ids.begin(), ids.end());
  parts_.push_back(static_cast<int64_t>(begin));
  parts_.push_back(static_cast<int64_t>(ids.size()));
}

void TokenRecordsBuilder::add(const std::vector<std::span<const TokenId>>& parts) {
  TORCH_CHECK(parts.size() == 1 || parts.size() >= 3, "a record has one part or at least three");
  const bool question = parts.size() > 1;
  size_t from = 0;
  if (question && size() > 0 && std::ranges::equal(parts[0], context_) && !context_.empty()) {
    const auto last = static_cast<size_t>(records_[records_.size() - 2]);  // first part of the record before
    const int64_t begin = parts_[2 * last], length = parts_[2 * last + 1];
    parts_.insert(parts_.end(), {begin, length});
    from = 1;
  } else if (question) {
    context_.assign(parts[0].begin(), parts[0].end());
  } else {
    context_.clear();
  }
  for (size_t i = from; i < parts.size(); ++i) append(parts[i]);
  records_.push_back(static_cast<int64_t>(parts_.size() / 2));
}

int64_t TokenRecordsBuilder::bytes() const {
  return static_cast<int64_t>(2 * narrow_.size() + 4 * wide_.size() + 8 * (parts_.size() + records_.size()));
}

int64_t TokenRecordsBuilder::bytes_with(const std::vector<std::span<const TokenId>>& parts) const {
  int64_t more = 8;
  for (const auto& part : parts) more += 16 + static_cast<int64_t>(part.size()) * (vocab_ <= kNarrow ? 2 : 4);
  return bytes() + more;
}

TokenRecords TokenRecordsBuilder::finish() {
  const auto total = static_cast<int64_t>(narrow_.size() + wide_.size());
  const auto parts = static_cast<int64_t>(parts_.size() / 2), records = static_cast<int64_t>(records_.size());
  at::Tensor tokens = vocab_ <= kNarrow ? as_tensor(std::move(narrow_), {total}, at::kUInt16)
                                        : as_tensor(std::move(wide_), {total}, at::kInt);
  TokenRecords result(std::move(tokens), as_tensor(std::move(parts_), {parts, 2}, at::kLong),
                      as_tensor(std::move(records_), {records}, at::kLong), vocab_, "[tokens]");
  *this = TokenRecordsBuilder(vocab_);
  return result;
}

}  // namespace steno
