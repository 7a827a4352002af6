// icae, section 11: tests 1, 9 and 10.
#include "methods/icae/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "memory/compressor.h"

namespace steno::icae {
namespace {

std::vector<TokenId> counting(int64_t count, TokenId from = 0) {
  std::vector<TokenId> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), from);
  return ids;
}

TEST(Icae01SpanArithmetic, BalancedSpansJoinToTheText) {
  constexpr int64_t k = 3, ratio = 4, longest = k * ratio;
  for (int64_t n = 1; n <= 5 * longest; ++n) {
    const auto spans = cut_balanced(counting(n), longest);
    const int64_t count = (n + longest - 1) / longest, length = (n + count - 1) / count;
    ASSERT_EQ(static_cast<int64_t>(spans.size()), count) << n;
    std::vector<TokenId> joined;
    for (const auto& span : spans) {
      EXPECT_GE(static_cast<int64_t>(span.size()), 1) << n;
      EXPECT_LE(static_cast<int64_t>(span.size()), longest) << n;
      joined.insert(joined.end(), span.begin(), span.end());
    }
    EXPECT_EQ(joined, counting(n));
    EXPECT_GE(static_cast<int64_t>(spans.back().size()), length - (count - 1)) << n;
    Settings settings;
    settings.eos = 99;
    const Layout layout = autoencoding({100, k}, settings, spans);
    EXPECT_EQ(std::count(layout.ids.begin(), layout.ids.end(), IdPlan{100, k}.slot()), count * k) << n;
  }
}

TEST(Icae01SpanArithmetic, FixedSpansAreFullButForTheLast) {
  for (int64_t n = 1; n <= 60; ++n) {
    const auto spans = cut_fixed(counting(n), 12);
    ASSERT_EQ(static_cast<int64_t>(spans.size()), (n + 11) / 12);
    for (size_t i = 0; i + 1 < spans.size(); ++i) EXPECT_EQ(spans[i].size(), 12u);
    EXPECT_EQ(static_cast<int64_t>(spans.back().size()), (n - 1) % 12 + 1);
  }
}

// What the loss sees: for every supervised label the sequence up to the place that predicts it.
std::map<std::vector<int64_t>, int64_t> shifted(const Layout& layout) {
  std::map<std::vector<int64_t>, int64_t> predictions;
  for (size_t i = 0; i < layout.labels.size(); ++i)
    if (layout.labels[i] != kIgnored)
      predictions[{layout.ids.begin(), layout.ids.begin() + static_cast<int64_t>(i)}] = layout.labels[i];
  return predictions;
}

class Icae09Layouts : public testing::Test {
 protected:
  Icae09Layouts() {
    settings_.k = 2, settings_.eos = 8, settings_.answer_end = 9;
    settings_.before = "50 51", settings_.after = "52";
  }
  IdPlan plan_{100, 2};  // PAD 100, memory 101 102, AE 103, LM 104, FT 105
  Settings settings_;
  const Spans spans_ = {{1, 20, 21}, {22}};  // 1 is BOS
};

TEST_F(Icae09Layouts, IdPlan) {
  EXPECT_EQ(plan_.pad(), 100);
  EXPECT_EQ(plan_.memory(1), 102);
  EXPECT_EQ(plan_.ae(), 103);
  EXPECT_EQ(plan_.lm(), 104);
  EXPECT_EQ(plan_.ft(), 105);
  for (int64_t id = 0; id < 106; ++id)
    EXPECT_EQ(plan_.is_text(id) + (id == plan_.pad()) + plan_.is_memory(id) + plan_.is_task(id), 1) << id;
  EXPECT_FALSE(plan_.is_memory(plan_.pad()));
}

TEST_F(Icae09Layouts, Autoencoding) {
  const Layout layout = autoencoding(plan_, settings_, spans_);
  EXPECT_EQ(layout.ids, (std::vector<int64_t>{101, 101, 101, 101, 103, 1, 20, 21, 22, 8}));
  EXPECT_EQ(layout.labels, (std::vector<int64_t>{-100, -100, -100, -100, -100, 1, 20, 21, 22, 8}));
  EXPECT_EQ(layout.supervised(), 4 + 1);
  const std::vector<int64_t> at_ae = {101, 101, 101, 101, 103};
  EXPECT_EQ(shifted(layout).begin()->first, at_ae) << "the first target is predicted at [AE]";
  EXPECT_EQ(shifted(layout).at(at_ae), 1) << "and is BOS where BOS opens the text";
}

TEST_F(Icae09Layouts, Continuation) {
  const auto next = counting(12, 30);
  Layout layout = continuation(plan_, settings_, spans_, next, 8);
  EXPECT_EQ(layout.supervised(), 12 - 8);
  EXPECT_EQ(layout.ids.size(), 4u + 12u) << "no task token, no EOS";
  const auto first = shifted(layout).begin();
  EXPECT_EQ(first->first.back(), 37) << "the first target is predicted at o8";
  EXPECT_EQ(first->second, 38);
  EXPECT_EQ(continuation(plan_, settings_, spans_, counting(5), 8).supervised(), 0);
  settings_.lm_token = true;
  layout = continuation(plan_, settings_, spans_, next, 8);
  EXPECT_EQ(layout.ids[4], plan_.lm());
  EXPECT_EQ(layout.supervised(), 4);
}

TEST_F(Icae09Layouts, Instruction) {
  const std::vector<TokenId> prompt = {60, 61}, answer = {70, 71, 72};
  const Layout layout = instruction(plan_, settings_, spans_, prompt, answer);
  EXPECT_EQ(layout.ids, (std::vector<int64_t>{50, 51, 101, 101, 101, 101, 105, 60, 61, 52, 70, 71, 72, 9}));
  EXPECT_EQ(layout.supervised(), 3 + 1);
  const auto first = shifted(layout).begin();
  EXPECT_EQ(first->first.back(), 52) << "the first target is predicted at the template's last token";
  EXPECT_EQ(first->second, 70);
}

TEST(Icae09Templates, Ids) {
  EXPECT_EQ(ids_of("1 733 16289 28793"), (std::vector<TokenId>{1, 733, 16289, 28793}));
  EXPECT_EQ(list_of(ids_of("733 28748 16289 28793")), "733 28748 16289 28793");
  EXPECT_TRUE(ids_of("").empty());
  for (const char* bad : {"x", "1 -2", "1,2", "99999999999"}) EXPECT_THROW(ids_of(bad), InputError) << bad;
}

TEST(Icae10Sampler, SharesFollowTheDocumentLength) {
  SamplerOptions options{.window = 40, .multi_window = 40, .lm_ratio = 0.4, .min_tokens_for_lm = 16};
  for (const int64_t length : {10, 16, 17, 30, 40, 41, 90, 300}) {
    const auto document = counting(length);
    // P(more than 16 tokens follow): by counting the places where the text may be cut.
    double places = 0, enough = 0;
    if (length <= 40) {
      for (int64_t cut = 1; cut <= length; ++cut) ++places, enough += length - cut > 16;
    } else {
      for (int64_t begin = 0; begin + 40 <= length; ++begin) ++places, enough += length - begin - 40 > 16;
    }
    Random random(7);
    constexpr int64_t draws = 20000;
    int64_t continued = 0;
    std::map<TokenId, int64_t> begins;
    for (int64_t i = 0; i < draws; ++i) {
      const Draw draw = draw_text(document, options, random);
      ASSERT_FALSE(draw.read.empty());
      ASSERT_LE(draw.read.size(), 40u);
      ASSERT_LE(draw.next.size(), 40u);
      // A run of the document, and what follows it at once.
      for (size_t t = 1; t < draw.read.size(); ++t) ASSERT_EQ(draw.read[t], draw.read[0] + static_cast<TokenId>(t));
      ASSERT_LT(draw.read.back(), length);
      if (!draw.next.empty()) {
        ASSERT_EQ(draw.next[0], draw.read.back() + 1);
        ASSERT_GT(draw.next.size(), 16u) << "shorter ones fall back to autoencoding";
        ASSERT_LT(draw.next.back(), length);
        ++continued;
      }
      ++begins[draw.read[0]];
    }
    const double share = 0.4 * enough / places, spread = 4 * std::sqrt(0.25 / draws);
    EXPECT_NEAR(static_cast<double>(continued) / draws, share, spread) << length;
    EXPECT_EQ(static_cast<int64_t>(begins.size()), length > 40 ? length - 40 + 1 : 1) << "every window is drawn";
  }
}

TEST(Icae10Sampler, BosTakesAPlaceOfTheWindow) {
  const SamplerOptions options{.window = 20, .multi_window = 60, .multi_span_share = 0.25, .bos = 500};
  const auto document = counting(200);
  Random random(3);
  int64_t multi = 0;
  for (int64_t i = 0; i < 4000; ++i) {
    const Draw draw = draw_text(document, options, random);
    EXPECT_EQ(draw.read[0], 500);
    ASSERT_TRUE(draw.read.size() == 20 || draw.read.size() == 60) << draw.read.size();
    multi += draw.read.size() == 60;
    EXPECT_TRUE(draw.next.empty());
  }
  EXPECT_NEAR(static_cast<double>(multi) / 4000, 0.25, 0.03);
  EXPECT_TRUE(draw_text({}, options, random).read.empty());
}

}  // namespace
}  // namespace steno::icae
