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

TEST(ThreadWaits, ATeamIsParkedOnceUnlessTheUserHasChosen) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = tasks();
  shorten_thread_waits();
  EXPECT_EQ(tasks(), alone) << "one thread waits for nobody";

  at::set_num_threads(2);
  setenv("GOMP_SPINCOUNT", "5", 1);
  shorten_thread_waits();
  EXPECT_EQ(tasks(), alone) << "the user's choice stands";
  unsetenv("GOMP_SPINCOUNT");
  if (getenv("OMP_WAIT_POLICY")) GTEST_SKIP() << "OMP_WAIT_POLICY is set";

  const std::string before = status_field(*alone.begin(), "SigBlk");
  shorten_thread_waits();
  const auto parked = tasks();
  EXPECT_GE(parked.size(), alone.size() + 2);
  for (const std::string& task : parked) {
    if (alone.contains(task)) continue;
    // Bit 1 is SIGINT.
    EXPECT_TRUE(std::stoull(status_field(task, "SigBlk"), nullptr, 16) & 2) << "Ctrl-C must go elsewhere";
  }
  EXPECT_EQ(status_field(*alone.begin(), "SigBlk"), before);
  shorten_thread_waits();
  EXPECT_EQ(tasks(), parked);
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace steno
