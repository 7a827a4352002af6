// A file that appears whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.
#pragma once
#include <cstddef>
#include <filesystem>
#include <string_view>

namespace steno {

class AtomicFile {
 public:
  // Opens a temporary file in the target's folder. Throws InputError (no such folder, no permission).
  explicit AtomicFile(std::filesystem::path target);
  // Without commit() the temporary file is removed and the target stays as it was.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Throws ResourceError when the disk is full or fails.
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  int fd_ = -1;
};

}  // namespace steno
