// A file mapped read-only into memory. Pages are shared with every other process that maps the same file.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace steno {

class MappedFile {
 public:
  // Throws InputError when the file is missing, is no regular file or cannot be read.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  // Bytes that already are in memory, under a name for messages: parsers are tested and fuzzed through this.
  static std::shared_ptr<const MappedFile> from_bytes(std::string name, std::string bytes);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  // Open for reading as long as this lives, for copies inside the kernel; -1 for from_bytes().
  int descriptor() const { return fd_; }

 private:
  MappedFile() = default;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string owned_;  // from_bytes only
  bool mapped_ = false;
  int fd_ = -1;
};

}  // namespace steno
