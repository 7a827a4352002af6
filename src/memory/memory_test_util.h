// For tests only: memories of made-up slots, and what they are made of.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/file_hash.h"
#include "memory/memory_writer.h"
#include "model/model_test_util.h"

namespace steno::test {

inline MemoryHeader made_up_header() {
  MemoryHeader header;
  header.method = "made-up";
  header.method_version = 3;
  header.params = {{"adapter", "adapters/one"}};
  header.span_tokens = 16;
  header.slots_per_span = 4;
  header.identity = {{"model", hash_bytes("model")},
                     {"tokenizer", hash_bytes("tokenizer")},
                     {"rope", hash_bytes("rope")},
                     {"adapter", hash_bytes("adapter")}};
  header.names = {{"model", "Tiny"}, {"adapter", "adapters/one"}};
  header.rope = {{"theta", "10000"}, {"scaling", "none"}};
  header.steno = "0.0.0";
  return header;
}

// Slots that depend on the tokens and nothing else, as those of a compressor do.
inline SpanSlots made_up_slots(const std::vector<TokenId>& tokens, int64_t slots = 4, int64_t width = 7) {
  uint64_t seed = 1;
  for (const TokenId token : tokens) seed = seed * 1000003 + static_cast<uint64_t>(token);
  return {{{"slots", random_tensor({slots, width}, seed)}}, static_cast<int64_t>(tokens.size())};
}

// `text` as one token a byte, in spans of 16.
inline std::vector<NewSpan> made_up_spans(const std::string& source, const std::string& text, bool keep_text) {
  std::vector<NewSpan> spans;
  for (size_t at = 0; at < text.size(); at += 16) {
    NewSpan span;
    span.text = text.substr(at, 16);
    span.tokens.assign(span.text.begin(), span.text.end());
    span.info.source = source;
    span.info.byte_begin = span.info.token_begin = static_cast<int64_t>(at);
    span.info.byte_end = span.info.token_end = static_cast<int64_t>(at + span.text.size());
    span.info.opens_document = at == 0;
    span.keep_text = keep_text;
    span.slots = made_up_slots(span.tokens);
    spans.push_back(std::move(span));
  }
  return spans;
}

inline NewSpan as_raw(NewSpan span) {
  span.info.kind = SpanKind::raw;
  span.slots = {};
  return span;
}

inline WriteReport write_memory(const std::filesystem::path& path, const std::vector<NewSpan>& spans,
                                SlotType type = SlotType::bf16, const MemoryHeader& header = made_up_header()) {
  MemoryWriter writer(header);
  for (const NewSpan& span : spans) writer.add(span, type);
  return writer.write(path);
}

// Every number and text of two memories, bit for bit.
inline void expect_same_memory(const MemoryFile& a, const MemoryFile& b) {
  ASSERT_EQ(a.spans().size(), b.spans().size());
  for (size_t i = 0; i < a.spans().size(); ++i) {
    const SpanInfo &x = a.spans()[i], &y = b.spans()[i];
    EXPECT_EQ(std::tie(x.id, x.source, x.byte_begin, x.byte_end, x.token_begin, x.token_end, x.text_hash, x.slots),
              std::tie(y.id, y.source, y.byte_begin, y.byte_end, y.token_begin, y.token_end, y.text_hash, y.slots));
    EXPECT_EQ(a.text(i), b.text(i));
    EXPECT_EQ(a.tokens(i), b.tokens(i));
    ASSERT_EQ(x.kind, y.kind);
    if (x.kind == SpanKind::raw) continue;
    const SpanSlots s = a.slots(i), t = b.slots(i);
    ASSERT_EQ(s.tensors.size(), t.tensors.size());
    for (size_t k = 0; k < s.tensors.size(); ++k) {
      EXPECT_EQ(s.tensors[k].first, t.tensors[k].first);
      EXPECT_TRUE(s.tensors[k].second.equal(t.tensors[k].second));
    }
  }
}

}  // namespace steno::test
