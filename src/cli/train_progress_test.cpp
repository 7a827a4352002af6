#include "cli/train_progress.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

TEST(TrainProgress, SaysWhatThereIs) {
  const Scalars values = {{"train/loss", 2.31234}, {"train/ae", 1.9},    {"train/lm", 2.8}, {"lr", 1e-4},
                          {"grad_norm", 0.8312},   {"tokens", 500},      {"skipped", 1},    {"empty", 0},
                          {"tokens_per_s", 1234},  {"rss_bytes", 612e6}, {"left_s", 200}};
  EXPECT_EQ(progress_text(120, 1000, values),
            "step 120 of 1,000: loss 2.312 (ae 1.9, lm 2.8), lr 1.00e-04, gradient 0.831, 1,234 tokens/s, 612 MB, "
            "1 step left out, 3 min 20 s left");
  EXPECT_EQ(progress_text(1000, 1000, {{"lr", 1e-5}, {"left_s", 0}}),
            "step 1,000 of 1,000: loss of no token, lr 1.00e-05");
  EXPECT_EQ(progress_text(200, 1000, {{"valid/loss", 2.25}, {"valid/ae", 2.25}}),
            "step 200: held-out loss 2.25 (ae 2.25)");
}

}  // namespace
}  // namespace steno
