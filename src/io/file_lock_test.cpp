#include "io/file_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <thread>

#include "base/error.h"
#include "base/files_test_util.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

class FileLockTest : public ::testing::Test {
 protected:
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(FileLockTest, OneAtATime) {
  auto lock = std::make_unique<FileLock>(folder_ / "a", WhenLocked::refuse);
  EXPECT_THROW(FileLock(folder_ / "a", WhenLocked::refuse), ResourceError);
  EXPECT_NO_THROW(FileLock(folder_ / "b", WhenLocked::refuse));
  lock.reset();
  EXPECT_NO_THROW(FileLock(folder_ / "a", WhenLocked::refuse));
  EXPECT_EQ(files(), 0u);
}

TEST_F(FileLockTest, OneLockForAllNamesOfAFile) {
  std::ofstream(folder_ / "a") << "x";
  fs::create_symlink("a", folder_ / "link");
  const FileLock lock(folder_ / "link", WhenLocked::refuse);
  EXPECT_EQ(lock.target().filename(), "a");
  EXPECT_THROW(FileLock(folder_ / "a", WhenLocked::refuse), ResourceError);
}

TEST_F(FileLockTest, RefusesFoldersThatAreAbsent) {
  EXPECT_THROW(FileLock(folder_ / "absent" / "a", WhenLocked::wait), InputError);
  EXPECT_THROW(FileLock(folder_, WhenLocked::wait), InputError);
}

TEST_F(FileLockTest, WaitersTakeTurns) {
  std::atomic<int> inside{0}, most{0}, turns{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        const FileLock lock(folder_ / "a", WhenLocked::wait);
        most = std::max(most.load(), ++inside);
        std::this_thread::yield();
        --inside;
        ++turns;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(turns, 20);
  EXPECT_EQ(files(), 0u);
}

TEST_F(FileLockTest, AKilledHolderLeavesItFree) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    new FileLock(folder_ / "a", WhenLocked::refuse);
    AtomicFile* file = new AtomicFile(folder_ / "a");
    file->write("half");
    (void)!write(ready[1], "x", 1);
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THROW(FileLock(folder_ / "a", WhenLocked::refuse), ResourceError);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  std::ofstream(folder_ / ".a.b.1-1.tmp") << "of another file";
  {
    const FileLock lock(folder_ / "a", WhenLocked::refuse);
    EXPECT_EQ(files(), 3u);
    AtomicFile::remove_leftovers(lock.target());
    EXPECT_EQ(files(), 2u);
  }
  EXPECT_TRUE(fs::exists(folder_ / ".a.b.1-1.tmp"));
  EXPECT_EQ(files(), 1u);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(FileLockTest, CopiesPartsOfOtherFiles) {
  std::string content;
  for (int i = 0; i < 100000; ++i) content += std::to_string(i);
  std::ofstream(folder_ / "from", std::ios::binary) << content;
  const auto file = MappedFile::open(folder_ / "from");
  AtomicFile to(folder_ / "to");
  to.write("head ");
  to.copy(file->descriptor(), 4096, 12345);
  to.copy(file->descriptor(), 1, 2);
  EXPECT_THROW(to.copy(file->descriptor(), content.size() - 1, 2), ResourceError);
  to.commit();
  std::ifstream in(folder_ / "to", std::ios::binary);
  const std::string got((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(got, "head " + content.substr(4096, 12345) + content.substr(1, 2) + content.back());
}

}  // namespace
}  // namespace steno
