#include "io/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>

#include "base/error.h"
#include "base/files_test_util.h"

namespace steno {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  const fs::path target_ = folder_ / "state.bin";

  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void put(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  size_t files() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }
};

TEST_F(AtomicFileTest, AppearsWithCommit) {
  AtomicFile file(target_);
  file.write("one ");
  file.write("two", 3);
  EXPECT_FALSE(fs::exists(target_));
  file.commit();
  EXPECT_EQ(read(target_), "one two");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, ReplacesTheOldFileAndKeepsItsPermissions) {
  put(target_, "old");
  chmod(target_.c_str(), 0640);
  AtomicFile file(target_);
  file.write("new");
  EXPECT_EQ(read(target_), "old");
  file.commit();
  EXPECT_EQ(read(target_), "new");
  EXPECT_EQ(fs::status(target_).permissions(), fs::perms(0640));
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, WithoutCommitNothingHappens) {
  put(target_, "old");
  try {
    AtomicFile file(target_);
    file.write("half of the new");
    throw std::runtime_error("the program gives up");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(read(target_), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, TwoWritersDoNotMeet) {
  AtomicFile a(target_), b(target_);
  a.write("a");
  b.write("b");
  a.commit();
  EXPECT_EQ(read(target_), "a");
  b.commit();
  EXPECT_EQ(read(target_), "b");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, FollowsLinks) {
  put(folder_ / "real", "old");
  fs::create_symlink("real", target_);
  AtomicFile file(target_);
  file.write("new");
  file.commit();
  EXPECT_TRUE(fs::is_symlink(target_));
  EXPECT_EQ(read(folder_ / "real"), "new");
}

TEST_F(AtomicFileTest, RefusesTargetsThatCannotBe) {
  EXPECT_THROW(AtomicFile(folder_ / "absent" / "x"), InputError);
  EXPECT_THROW(AtomicFile{folder_}, InputError);
}

// A limit on the size of files stands in for a disk that is full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &old_);
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

TEST_F(AtomicFileTest, AFullDiskLeavesTheOldFileAndNothingElse) {
  put(target_, "old");
  std::string error;
  {
    FileSizeLimit limit(65536);
    try {
      AtomicFile file(target_);
      file.write(std::string(50000, 'x'));
      file.write(std::string(50000, 'y'));
      file.commit();
    } catch (const ResourceError& e) {
      error = e.what();
    }
  }
  EXPECT_THAT(error, HasSubstr("cannot write '" + target_.string() + "'"));
  EXPECT_THAT(error, HasSubstr("65536 of at least 100000 bytes were written"));
  EXPECT_EQ(read(target_), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, ReservingMoreThanTheDiskHoldsFailsAtOnce) {
  put(target_, "old");
  {
    AtomicFile file(target_);
    EXPECT_THROW(file.reserve(uint64_t{1} << 62), ResourceError);
  }
  {
    AtomicFile file(target_);
    file.reserve(1 << 20);  // more than is written: the file still ends where the data ends
    file.write("new");
    file.commit();
  }
  EXPECT_EQ(read(target_), "new");
  EXPECT_EQ(files(), 1u);
}

}  // namespace
}  // namespace steno
