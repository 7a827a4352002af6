// Lines of a file that may be packed with Zstandard, without holding it in memory.
#pragma once
#include <zstd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace steno {

class LineReader {
 public:
  // A name that ends in ".zst" is unpacked. Throws InputError: missing, a folder, not readable.
  explicit LineReader(const std::filesystem::path& path);

  // The next line without its line break; false at the end. Throws InputError for packed data that is damaged or cut
  // off.
  bool next(std::string& line);
  int64_t number() const { return number_; }  // of the line next() gave last, from 1
  // All that is left, line breaks included.
  std::string rest();

 private:
  bool fill();  // more bytes into ready_; false at the end

  std::filesystem::path path_;
  std::ifstream file_;
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> unpacker_{nullptr, &ZSTD_freeDStream};
  std::vector<char> packed_, piece_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  size_t frame_left_ = 0;  // 0: between two frames
  std::string ready_;      // unpacked bytes that next() has not given yet, from used_ on
  size_t used_ = 0;
  int64_t number_ = 0;
};

}  // namespace steno
