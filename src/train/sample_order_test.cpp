#include "train/sample_order.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>
#include <vector>

namespace steno {
namespace {

TEST(SampleOrder, EveryExampleOncePerEpoch) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<uint64_t>(1, 3000);
    const auto seed = *rc::gen::arbitrary<uint64_t>();
    const auto epoch = *rc::gen::inRange<uint64_t>(0, 1000);
    std::vector<bool> seen(size, false);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t example = example_of_sample(epoch * size + i, size, seed);
      RC_ASSERT(example < size);
      RC_ASSERT(!seen[example]);
      seen[example] = true;
    }
  }));
}

TEST(SampleOrder, LargeSizesStayInRangeAndDiffer) {
  for (const uint64_t size : {uint64_t{1} << 20, (uint64_t{1} << 20) + 1, (uint64_t{1} << 40) + 12345}) {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < 2000; ++i) seen.insert(permuted(i, size, 7));
    EXPECT_EQ(seen.size(), 2000u);
    EXPECT_LT(*seen.rbegin(), size);
    EXPECT_GT(*seen.rbegin(), size / 2) << "neighbours are spread";
  }
}

TEST(SampleOrder, SeedsAndEpochsOrderDifferently) {
  const auto order = [](uint64_t seed, uint64_t epoch) {
    std::vector<uint64_t> order;
    for (uint64_t i = 0; i < 50; ++i) order.push_back(example_of_sample(epoch * 50 + i, 50, seed));
    return order;
  };
  std::set<std::vector<uint64_t>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (uint64_t epoch = 0; epoch < 20; ++epoch) orders.insert(order(seed, epoch));
  EXPECT_EQ(orders.size(), 400u);
  EXPECT_EQ(order(3, 4), order(3, 4));
}

// Over many epochs each example stands at each place about equally often. chi-square with 48 degrees of freedom is
// above 93 with probability 1e-4; the draw is fixed, so this does not depend on luck.
TEST(SampleOrder, PlacesAreUniform) {
  constexpr uint64_t kSize = 7, kEpochs = 7000;
  std::map<std::pair<uint64_t, uint64_t>, double> count;
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch)
    for (uint64_t i = 0; i < kSize; ++i) ++count[{i, example_of_sample(epoch * kSize + i, kSize, 11)}];
  const double expected = static_cast<double>(kEpochs) / kSize;
  double chi_square = 0;
  for (uint64_t i = 0; i < kSize; ++i)
    for (uint64_t e = 0; e < kSize; ++e) chi_square += std::pow(count[{i, e}] - expected, 2) / expected;
  EXPECT_LT(chi_square, 93);
}

TEST(SampleOrder, DrawsDependOnEveryPart) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 10; ++seed)
    for (uint64_t sample = 0; sample < 10; ++sample)
      for (uint64_t purpose = 0; purpose < 10; ++purpose) seen.insert(sample_random(seed, sample, purpose).next());
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_EQ(sample_random(1, 2, 3).next(), sample_random(1, 2, 3).next());
}

}  // namespace
}  // namespace steno
