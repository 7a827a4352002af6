// The bytes of event files against those of TensorBoard's own writer (tests/golden/make_tensorboard.py).
#include "train/tensorboard_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/files_test_util.h"

namespace steno {
namespace {

using test::TemporaryFolder;

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

// Five steps, then again from step 3, with a clock that stands still.
void write_run(const std::filesystem::path& folder) {
  const auto clock = [] { return 1700000000.25; };
  {
    TensorboardEvents events(folder, clock);
    events.restart(0);
    for (int64_t step = 1; step <= 5; ++step)
      events.scalars(step, {{"train/loss", 3.0 - 0.25 * static_cast<double>(step)}, {"lr", 1e-4}});
    events.text(5, "sample/0", "A cat.\n---\nA c\xc3\xa4t.");
    events.flush();
  }
  TensorboardEvents events(folder, clock);
  events.restart(3);
  for (int64_t step = 4; step <= 6; ++step) events.scalars(step, {{"train/loss", static_cast<double>(step)}});
  events.text(300, "sample/0", std::string(300, 'x'));
}

TEST(TensorboardEvents, TheGoldenFiles) {
  const auto golden = std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/tensorboard";
  const TemporaryFolder folder;
  write_run(folder.path());
  const auto files = files_in(folder.path());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_TRUE(files[0].filename().string().starts_with("events.out.tfevents.1700000000."));
  EXPECT_TRUE(files[1].filename().string().starts_with("events.out.tfevents.1700000001."))
      << "the second file is read after the first, even if the clock stands still";
  EXPECT_EQ(test::read_bytes(files[0]), test::read_bytes(golden / "events.out.tfevents.1700000000.golden"));
  EXPECT_EQ(test::read_bytes(files[1]), test::read_bytes(golden / "events.out.tfevents.1700000001.golden"));
}

TEST(TensorboardEvents, NothingIsMadeBeforeTheFirstEvent) {
  const TemporaryFolder folder;
  { const TensorboardEvents events(folder.path() / "tensorboard"); }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "tensorboard"));
}

}  // namespace
}  // namespace steno
