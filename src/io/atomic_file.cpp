#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"

namespace steno {
namespace {

// A name that no other process and no other AtomicFile of this one has.
std::filesystem::path temporary_for(const std::filesystem::path& target) {
  static std::atomic<uint64_t> counter{0};
  return target.parent_path() / fmt::format(".{}.{}-{}.tmp", target.filename().string(), getpid(), counter++);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  std::error_code ignored;
  if (std::filesystem::is_directory(target_, ignored))
    throw InputError("cannot write '{}': it is a folder", target_.string());
  if (std::filesystem::is_symlink(target_, ignored)) target_ = std::filesystem::weakly_canonical(target_);
  do {
    temporary_ = temporary_for(target_);
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);  // left behind by a process that was killed and had our number
  if (fd_ < 0) {
    const int error = errno;
    if (error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == EIO) fail("create", error);
    throw InputError("cannot write '{}': {}", target_.string(), std::strerror(error));
  }
  // The new file keeps the permissions of the one it replaces.
  struct stat old {};
  if (stat(target_.c_str(), &old) == 0) (void)fchmod(fd_, old.st_mode & 07777);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

void AtomicFile::reserve(uint64_t bytes) {
  needed_ = bytes;
  if (bytes == 0) return;
  int result;
  do result = fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
  while (result != 0 && errno == EINTR);
  // Some file systems cannot reserve; there, write() will tell.
  if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)) fail("write", errno);
}

void AtomicFile::write(const void* data, size_t bytes) {
  needed_ = std::max(needed_, written_ + bytes);
  for (const char* next = static_cast<const char*>(data); bytes > 0;) {
    const ssize_t count = ::write(fd_, next, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write", errno);
    next += count;
    bytes -= static_cast<size_t>(count);
    written_ += static_cast<uint64_t>(count);
  }
}

void AtomicFile::copy(int descriptor, uint64_t offset, uint64_t bytes) {
  needed_ = std::max(needed_, written_ + bytes);
  auto from = static_cast<off_t>(offset);
  while (bytes > 0) {
    const ssize_t count = copy_file_range(descriptor, &from, fd_, nullptr, bytes, 0);
    if (count < 0 && errno == EINTR) continue;
    // Two file systems, or one that has no such call.
    if (count < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) break;
    if (count < 0) fail("write", errno);
    if (count == 0) fail("write", ENODATA);
    bytes -= static_cast<uint64_t>(count);
    written_ += static_cast<uint64_t>(count);
  }
  std::string piece(std::min<uint64_t>(bytes, uint64_t{1} << 20), '\0');
  while (bytes > 0) {
    const ssize_t count = pread(descriptor, piece.data(), std::min<uint64_t>(bytes, piece.size()), from);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("write", count == 0 ? ENODATA : errno);
    write(piece.data(), static_cast<size_t>(count));
    from += count;
    bytes -= static_cast<uint64_t>(count);
  }
}

void AtomicFile::remove_leftovers(const std::filesystem::path& target) {
  const std::string prefix = "." + target.filename().string() + ".", suffix = ".tmp";
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".";
  std::error_code ignored;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) || !name.ends_with(suffix)) continue;
    // "<process>-<counter>": "a.b" must not take what belongs to "a.b.c".
    const std::string middle = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    if (middle.find_first_not_of("0123456789-") == std::string::npos) found.push_back(entry.path());
  }
  for (const auto& path : found) std::filesystem::remove(path, ignored);
}

void AtomicFile::commit() {
  if (fsync(fd_) != 0) fail("write", errno);
  if (rename(temporary_.c_str(), target_.c_str()) != 0) fail("replace", errno);
  close(fd_);  // cannot lose data any more
  fd_ = -1;
  // The new name must survive a power cut, too. A folder that cannot be opened for reading is no reason to fail.
  const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return;
  fsync(folder_fd);
  close(folder_fd);
}

void AtomicFile::fail(const char* action, int error) const {
  throw ResourceError("cannot {} '{}': {} ({} of at least {} bytes were written; the old file, if any, is untouched)",
                      action, target_.string(), std::strerror(error), written_, std::max(needed_, written_));
}

}  // namespace steno
