#include "train/exchange.h"

#include <gtest/gtest.h>

#include <thread>

#include "train/train_test_util.h"

namespace steno {
namespace {

using namespace test;

// Runs `work(rank)` on three ranks.
template <class Work>
void on_ranks(Work work) {
  ThreadRanks ranks(3);
  std::vector<std::thread> threads;
  for (int r = 0; r < 3; ++r)
    threads.emplace_back([&, r] {
      ThreadRanks::Rank rank(ranks, r);
      work(rank);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Exchange, GradientsInBucketsOfAnySize) {
  for (const int64_t bucket : {1, 4, 5, 1000}) {
    on_ranks([&](Communicator& rank) {
      std::vector<Parameter> parameters;
      for (const int64_t size : {3, 1, 10, 2}) {
        at::Tensor value = at::zeros({size}).set_requires_grad(true);
        value.mutable_grad() = at::arange(size).to(at::kFloat) + 100 * rank.rank() + 7;
        parameters.push_back({std::to_string(size), value});
      }
      sum_gradients(rank, parameters, bucket);
      for (const Parameter& p : parameters)
        EXPECT_TRUE(p.value.grad().equal(at::arange(p.value.numel()).to(at::kFloat) * 3 + 321)) << bucket << p.name;
    });
  }
}

TEST(Exchange, LossesOfRanksThatSawOtherObjectives) {
  on_ranks([](Communicator& rank) {
    LossExchange exchange(rank);
    for (int round = 0; round < 3; ++round) {
      LossSums mine;
      if (rank.rank() == 0) mine["ae"] = {1.5, 2, 1};
      if (rank.rank() == 1 && round > 0) mine["lm"] = {0.25, 5, 1};
      if (rank.rank() == 2) mine["ae"] = {0.5, 3, 2};
      const LossSums all = exchange.sum(mine);
      EXPECT_EQ(all.size(), round > 0 ? 2 : 1);
      EXPECT_EQ(all.at("ae").loss, 2);
      EXPECT_EQ(all.at("ae").tokens, 5);
      EXPECT_EQ(all.at("ae").examples, 3);
      if (round > 0) {
        EXPECT_EQ(all.at("lm").tokens, 5);
      }
    }
    EXPECT_TRUE(exchange.sum({}).empty());
  });
}

TEST(Exchange, EverybodyHasTheTextAndTensorsOfRankZero) {
  on_ranks([](Communicator& rank) {
    EXPECT_EQ(broadcast_text(rank, rank.rank() == 0 ? "{\"step\": 5, \"\xc3\xa9\": 0}" : "ignored"),
              "{\"step\": 5, \"\xc3\xa9\": 0}");
    EXPECT_EQ(broadcast_text(rank, ""), "");
    const at::Tensor tensor = at::full({4}, static_cast<float>(rank.rank() + 1));
    broadcast_all(rank, {tensor});
    EXPECT_TRUE(tensor.equal(at::ones({4})));
  });
}

}  // namespace
}  // namespace steno
