#include "io/line_reader.h"

#include <cstring>

#include "base/error.h"

namespace steno {
namespace {
constexpr size_t kPiece = 1 << 18;
}

LineReader::LineReader(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw InputError("[data] {}: no such file", path.string());
  if (std::filesystem::is_directory(path, error))
    throw InputError("[data] {}: is a folder; name a file in it", path.string());
  file_.open(path, std::ios::binary);
  if (!file_) throw InputError("[data] {}: cannot be read ({})", path.string(), std::strerror(errno));
  piece_.resize(kPiece);
  if (path.extension() != ".zst") return;
  unpacker_.reset(ZSTD_createDStream());
  if (!unpacker_) throw ResourceError("[data] {}: no memory to unpack it", path.string());
  packed_.resize(ZSTD_DStreamInSize());
}

bool LineReader::fill() {
  ready_.erase(0, used_);
  used_ = 0;
  if (!unpacker_) {
    file_.read(piece_.data(), static_cast<std::streamsize>(piece_.size()));
    if (file_.bad()) throw InputError("[data] {}: reading failed", path_.string());
    ready_.append(piece_.data(), static_cast<size_t>(file_.gcount()));
    return file_.gcount() > 0;
  }
  for (;;) {
    if (in_.pos == in_.size) {
      file_.read(packed_.data(), static_cast<std::streamsize>(packed_.size()));
      if (file_.bad()) throw InputError("[data] {}: reading failed", path_.string());
      in_ = {packed_.data(), static_cast<size_t>(file_.gcount()), 0};
    }
    const bool at_end = in_.size == 0;
    if (at_end && frame_left_ == 0) return false;
    ZSTD_outBuffer out{piece_.data(), piece_.size(), 0};
    frame_left_ = ZSTD_decompressStream(unpacker_.get(), &out, &in_);
    if (ZSTD_isError(frame_left_))
      throw InputError("[data] {}: the packed data is damaged ({})", path_.string(), ZSTD_getErrorName(frame_left_));
    ready_.append(piece_.data(), out.pos);
    if (out.pos > 0) return true;
    if (at_end) throw InputError("[data] {}: the packed data is cut off", path_.string());
  }
}

bool LineReader::next(std::string& line) {
  size_t scanned = used_;
  for (;;) {
    const size_t end = ready_.find('\n', scanned);
    if (end != std::string::npos) {
      line.assign(ready_, used_, end - used_);
      used_ = end + 1;
      break;
    }
    const size_t waiting = ready_.size() - used_;
    if (!fill()) {
      if (ready_.empty()) return false;
      line = std::move(ready_);
      ready_.clear();
      break;
    }
    scanned = waiting;  // fill() has moved what waits to the front
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  ++number_;
  return true;
}

std::string LineReader::rest() {
  std::string all;
  do {
    all.append(ready_, used_);
    used_ = ready_.size();
  } while (fill());
  return all;
}

}  // namespace steno
