#include "model/thread_waits.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

namespace steno {
namespace {

std::set<std::string> tasks() {
  std::set<std::string> ids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    ids.insert(entry.path().filename().string());
  return ids;
}

std::string status_field(const std::string& task, const std::string& name) {
  std::ifstream file("/proc/self/task/" + task + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return line.substr(name.size() + 1);
  return "";
}

TEST(ThreadWaits, OneThreadWatchesUnlessTheUserHasChosen) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = tasks();
  yield_cores_when_busy();
  EXPECT_EQ(tasks(), alone) << "one thread waits for nobody";

  at::set_num_threads(2);
  setenv("GOMP_SPINCOUNT", "5", 1);
  yield_cores_when_busy();
  EXPECT_EQ(tasks(), alone) << "the user's choice stands";
  unsetenv("GOMP_SPINCOUNT");
  if (getenv("OMP_WAIT_POLICY")) GTEST_SKIP() << "OMP_WAIT_POLICY is set";

  const std::string before = status_field(*alone.begin(), "SigBlk");
  yield_cores_when_busy();
  const auto watching = tasks();
  EXPECT_GE(watching.size(), alone.size() + 1);
  for (const std::string& task : watching) {
    if (alone.contains(task)) continue;
    const std::string blocked = status_field(task, "SigBlk");
    if (blocked.empty()) continue;  // gone again
    // Bit 1 is SIGINT.
    EXPECT_TRUE(std::stoull(blocked, nullptr, 16) & 2) << "Ctrl-C must go elsewhere";
  }
  EXPECT_EQ(status_field(*alone.begin(), "SigBlk"), before);
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace steno
