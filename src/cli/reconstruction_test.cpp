// Reconstruction, its scores and the certificate, with a compressor whose mistakes are known.
#include "cli/reconstruction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "cli/certify.h"
#include "memory/compressor_test_util.h"

namespace steno {
namespace {

using test::CopyCompressor;
using testing::HasSubstr;

class ReconstructionTest : public testing::Test {
 protected:
  ReconstructionTest()
      : tokenizer_(Tokenizer::from_json(std::string(STENO_SOURCE_DIR) + "/tests/data/stories260K")),
        end_(tokenizer_->end_of_generation().at(0)) {
    // Tokens that are words of their own, so that scores can be counted by hand.
    for (TokenId id = 0; id < tokenizer_->vocab_size() && words_.size() < 64; ++id) {
      const std::string piece = tokenizer_->piece(id);
      if (piece.size() > 2 && piece[0] == ' ' && std::isalpha(static_cast<unsigned char>(piece[1])))
        words_.push_back(id);
    }
  }

  CopyCompressor compressor(int64_t capacity, int64_t slots = 4) const {
    return {tokenizer_->vocab_size(), 32, slots, capacity, words_.at(40), end_};
  }
  std::vector<TokenId> span(int64_t count, int64_t first = 0) const {
    return {words_.begin() + first, words_.begin() + first + count};
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  TokenId end_;
  std::vector<TokenId> words_;
};

TEST_F(ReconstructionTest, WhatIsHeldComesBackWordForWord) {
  ASSERT_GT(words_.size(), 40u);
  const CopyCompressor copy = compressor(32);
  // More than are decoded in step, of different lengths.
  std::vector<std::vector<TokenId>> sources;
  for (int64_t i = 0; i < 11; ++i) sources.push_back(span(5 + 2 * i, i));
  const auto slots = copy.compress(sources);
  const auto scored = score_reconstructions(copy, *tokenizer_, slots, sources);
  const auto unscored = reconstruct(copy, *tokenizer_, slots);
  ASSERT_EQ(scored.size(), 11u);
  for (size_t i = 0; i < scored.size(); ++i) {
    EXPECT_EQ(scored[i].tokens, sources[i]);
    EXPECT_EQ(unscored[i].tokens, sources[i]);
    EXPECT_EQ(scored[i].text, tokenizer_->decode(sources[i]));
    EXPECT_TRUE(scored[i].ended);
    EXPECT_EQ(scored[i].score.token_accuracy, 1);
    EXPECT_EQ(scored[i].score.bleu4, 1);
    EXPECT_EQ(scored[i].score.edit_distance, 0);
  }
}

TEST_F(ReconstructionTest, MistakesAreCounted) {
  const CopyCompressor copy = compressor(24);
  const std::vector<std::vector<TokenId>> sources = {span(32)};
  const auto scored = score_reconstructions(copy, *tokenizer_, copy.compress(sources), sources);
  EXPECT_EQ(scored[0].score.token_accuracy, 24.0 / 32);
  EXPECT_GT(*scored[0].score.bleu4, 0.5);
  EXPECT_LT(*scored[0].score.bleu4, 0.75);
  EXPECT_GT(*scored[0].score.edit_distance, 0);
  EXPECT_LT(*scored[0].score.edit_distance, 0.5);
}

TEST_F(ReconstructionTest, WithoutAnEndItStopsTenTokensBehindTheSource) {
  const CopyCompressor endless(tokenizer_->vocab_size(), 32, 4, 32, words_.at(40), words_.at(1));
  const std::vector<std::vector<TokenId>> sources = {span(7, 2)};
  const auto written = reconstruct(endless, *tokenizer_, endless.compress(sources));
  EXPECT_FALSE(written[0].ended);
  EXPECT_EQ(written[0].tokens.size(), 17u);
}

// As an adapter that was trained to end texts by a token which ends nothing else.
class OwnEnd : public CopyCompressor {
 public:
  OwnEnd(const CopyCompressor& copy, TokenId end) : CopyCompressor(copy), end_(end) {}
  std::optional<TokenId> reconstruction_end() const override { return end_; }

 private:
  TokenId end_;
};

TEST_F(ReconstructionTest, TheCompressorsOwnEndEndsIt) {
  const TokenId end = words_.at(1);
  const OwnEnd own(CopyCompressor(tokenizer_->vocab_size(), 32, 4, 32, words_.at(40), end), end);
  std::vector<TokenId> source = span(7, 2);
  std::erase(source, end);
  const std::vector<std::vector<TokenId>> sources = {source};
  const auto written = reconstruct(own, *tokenizer_, own.compress(sources));
  EXPECT_TRUE(written[0].ended);
  EXPECT_EQ(written[0].tokens, source);
}

TEST(MarkedDifferences, WordByWord) {
  EXPECT_EQ(marked_differences("the old man", "the old man"), "the old man");
  EXPECT_EQ(marked_differences("the old man", "the young man"), "the [-old-] {+young+} man");
  EXPECT_EQ(marked_differences("so the old man", "so old man went"), "so [-the-] old man {+went+}");
  EXPECT_EQ(marked_differences("a b c d", "a d"), "a [-b c-] d");
  EXPECT_EQ(marked_differences("a d", "a b c d"), "a {+b c+} d");
  EXPECT_EQ(marked_differences("", "new"), "{+new+}");
  EXPECT_EQ(marked_differences("gone", ""), "[-gone-]");
  EXPECT_EQ(marked_differences("", ""), "");
  EXPECT_EQ(marked_differences("line\n", "line"), "line[-\n-]");
}

TEST_F(ReconstructionTest, CertificateWithoutALimitChangesNothing) {
  const CopyCompressor copy = compressor(10);
  const std::vector<std::vector<TokenId>> sources = {span(32), span(8)};
  const auto slots = copy.compress(sources);
  CertifyCounts counts;
  const auto pieces = certify_spans(copy, *tokenizer_, sources, slots, {.also = {SlotType::int4}}, counts);
  ASSERT_EQ(pieces.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(pieces[i].size(), 1u);
    EXPECT_FALSE(pieces[i][0].raw);
    EXPECT_EQ(pieces[i][0].begin, 0);
    EXPECT_EQ(pieces[i][0].end, static_cast<int64_t>(sources[i].size()));
    EXPECT_TRUE(pieces[i][0].slots.tensors[0].second.equal(slots[i].tensors[0].second));
    ASSERT_EQ(pieces[i][0].scores.size(), 2u) << "the stored type and the other one";
    // Numbers of tokens do not survive four bits.
    EXPECT_LT(fidelity_of(pieces[i][0].scores.at(SlotType::int4)), fidelity_of(pieces[i][0].scores.at(SlotType::f32)));
  }
  EXPECT_EQ(pieces[0][0].scores.at(SlotType::f32).token_accuracy, 10.0 / 32);
  EXPECT_EQ(pieces[1][0].scores.at(SlotType::f32).token_accuracy, 1);
  EXPECT_EQ(counts.spans, 2);
  EXPECT_EQ(counts.recut, 0);
  EXPECT_EQ(counts.raw_spans, 0);
  EXPECT_EQ(counts.worst, fidelity_of(pieces[0][0].scores.at(SlotType::f32)));
}

TEST_F(ReconstructionTest, SpansThatComeBackBadlyAreCutUntilTheyDoNot) {
  const CopyCompressor copy = compressor(10);
  const std::vector<std::vector<TokenId>> sources = {span(31), span(10, 3)};
  CertifyCounts counts;
  const auto pieces =
      certify_spans(copy, *tokenizer_, sources, copy.compress(sources), {.min_fidelity = 0.99, .halvings = 2}, counts);
  ASSERT_EQ(pieces[0].size(), 4u);
  EXPECT_EQ(pieces[1].size(), 1u);
  int64_t next = 0;
  for (const CertifiedPiece& piece : pieces[0]) {
    EXPECT_EQ(piece.begin, next);
    next = piece.end;
    EXPECT_FALSE(piece.raw);
    EXPECT_EQ(fidelity_of(piece.scores.at(SlotType::f32)), 1);
    // Written anew from its own tokens.
    const std::vector<TokenId> own(sources[0].begin() + piece.begin, sources[0].begin() + piece.end);
    EXPECT_TRUE(piece.slots.tensors[0].second.equal(copy.compress({&own, 1})[0].tensors[0].second));
    EXPECT_EQ(piece.slots.source_tokens, piece.end - piece.begin);
  }
  EXPECT_EQ(next, 31);
  EXPECT_EQ(counts.recut, 1);
  EXPECT_EQ(counts.raw_spans, 0);
  EXPECT_EQ(counts.pieces, 5);
  EXPECT_THAT(certify_text(counts), HasSubstr("certified 2 spans: fidelity 1.000 on average"));
  EXPECT_THAT(certify_text(counts), HasSubstr("1 span cut"));
}

TEST_F(ReconstructionTest, WhatCannotBeCutIsKeptAsText) {
  const CopyCompressor copy = compressor(10);
  const std::vector<std::vector<TokenId>> sources = {span(32)};
  CertifyCounts counts;
  const auto once =
      certify_spans(copy, *tokenizer_, sources, copy.compress(sources), {.min_fidelity = 0.99, .halvings = 1}, counts);
  ASSERT_EQ(once[0].size(), 2u);
  for (const CertifiedPiece& piece : once[0]) {
    EXPECT_TRUE(piece.raw);
    EXPECT_TRUE(piece.slots.tensors.empty());
    EXPECT_LT(fidelity_of(piece.scores.at(SlotType::f32)), 0.99) << "what was not good enough is told";
  }
  EXPECT_EQ(counts.raw_spans, 2);
  EXPECT_EQ(counts.raw_tokens, 32);
  EXPECT_EQ(counts.pieces, 0);
  EXPECT_THAT(certify_text(counts), HasSubstr("2 pieces (32 tokens) kept as text"));

  // With 16 slots a half of 16 tokens would be no shorter than its text.
  const CopyCompressor wide = compressor(10, 16);
  const auto at_once =
      certify_spans(wide, *tokenizer_, sources, wide.compress(sources), {.min_fidelity = 0.99}, counts);
  ASSERT_EQ(at_once[0].size(), 1u);
  EXPECT_TRUE(at_once[0][0].raw);
}

TEST_F(ReconstructionTest, TheStoredTypeDecides) {
  const CopyCompressor copy = compressor(32);
  const std::vector<std::vector<TokenId>> sources = {span(32)};
  CertifyCounts counts;
  const auto pieces =
      certify_spans(copy, *tokenizer_, sources, copy.compress(sources),
                    {.min_fidelity = 0.99, .halvings = 0, .stored = SlotType::int4, .also = {SlotType::f32}}, counts);
  ASSERT_EQ(pieces[0].size(), 1u);
  EXPECT_TRUE(pieces[0][0].raw);
  EXPECT_EQ(fidelity_of(pieces[0][0].scores.at(SlotType::f32)), 1);
}

TEST(Certify, WrongSettings) {
  EXPECT_THROW(check_certify("compress", {.min_fidelity = 1.5}), UsageError);
  EXPECT_THROW(check_certify("compress", {.min_fidelity = NAN}), UsageError);
  EXPECT_THROW(check_certify("compress", {.halvings = -1}), UsageError);
  EXPECT_NO_THROW(check_certify("compress", {.min_fidelity = 1}));
}

}  // namespace
}  // namespace steno
