// A file that appears whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace steno {

class AtomicFile {
 public:
  // Opens a temporary file in the target's folder; where the target is a link, the file it leads to is replaced.
  // Throws InputError (no such folder, no permission, the target is a folder).
  explicit AtomicFile(std::filesystem::path target);
  // Without commit() the temporary file is removed and the target stays as it was.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Says how large the file will be, so that a disk that cannot hold it is noticed now. Optional. ResourceError.
  void reserve(uint64_t bytes);
  // Throws ResourceError when the disk is full or fails.
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // `bytes` of another file from `offset` on, inside the kernel where it can: file systems that share blocks then write
  // nothing. `descriptor` must be open for reading. Throws ResourceError.
  void copy(int descriptor, uint64_t offset, uint64_t bytes);
  // Makes the file appear under its name, on the disk and not only in its cache. Throws ResourceError.
  void commit();
  // Deletes temporary files of `target` that killed processes left behind. Only where nobody else can be writing it:
  // the caller holds its FileLock.
  static void remove_leftovers(const std::filesystem::path& target);

 private:
  [[noreturn]] void fail(const char* action, int error) const;

  std::filesystem::path target_, temporary_;
  int fd_ = -1;
  uint64_t written_ = 0, needed_ = 0;  // bytes
};

}  // namespace steno
