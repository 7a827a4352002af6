// One writer at a time: flock on a file beside the one that is written, ".NAME.lock". A lock of a process that was
// killed is free at once; the file is removed on release.
#pragma once
#include <filesystem>

namespace steno {

enum class WhenLocked { refuse, wait };

class FileLock {
 public:
  // Throws ResourceError when another process (or another FileLock of this one) holds it and `when` says refuse;
  // InputError when the folder cannot be written; Interrupted when Ctrl-C comes while it waits. Links are followed, so
  // that a file has one lock whatever it is called by.
  FileLock(const std::filesystem::path& target, WhenLocked when);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // The target with links followed.
  const std::filesystem::path& target() const { return target_; }

 private:
  std::filesystem::path target_, path_;
  int fd_ = -1;
};

}  // namespace steno
