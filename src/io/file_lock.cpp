#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"

namespace steno {

FileLock::FileLock(const std::filesystem::path& target, WhenLocked when) : target_(target) {
  std::error_code ignored;
  if (std::filesystem::is_directory(target_, ignored))
    throw InputError("cannot write '{}': it is a folder", target_.string());
  if (std::filesystem::is_symlink(target_, ignored)) target_ = std::filesystem::weakly_canonical(target_);
  path_ = target_.parent_path() / ("." + target_.filename().string() + ".lock");
  for (;;) {
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) {
      const int error = errno;
      if (error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == EIO)
        throw ResourceError("cannot lock '{}': {}", target_.string(), std::strerror(error));
      throw InputError("cannot write '{}': {}", target_.string(), std::strerror(error));
    }
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      if (error == EINTR) continue;
      if (error == EWOULDBLOCK && when == WhenLocked::wait && !interrupted()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        continue;
      }
      close(fd_);
      if (error != EWOULDBLOCK) throw ResourceError("cannot lock '{}': {}", target_.string(), std::strerror(error));
      check_interrupt("nothing was written");
      throw ResourceError("'{}' is being written by another process; try again when it is done, or wait with --wait",
                          target_.string());
    }
    // The one who held it may have removed the file on release: then what we have locked is nobody's any more.
    struct stat held {
    }, named{};
    if (fstat(fd_, &held) == 0 && stat(path_.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
        held.st_ino == named.st_ino)
      return;
    close(fd_);
  }
}

FileLock::~FileLock() {
  unlink(path_.c_str());  // while it is held, so that nobody else's is removed
  close(fd_);
}

}  // namespace steno
