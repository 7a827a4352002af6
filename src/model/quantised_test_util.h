// For tests only: random blocks of every ggml format, with scales that keep values near one.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/random.h"
#include "io/ggml_types.h"
#include "model/linear.h"

namespace steno::test {

inline void put_half(std::string& bytes, size_t at, float value) {
  const auto half = static_cast<_Float16>(value);
  std::memcpy(bytes.data() + at, &half, sizeof half);
}

// A copy of `bytes` that ends where the readable memory ends: reading one byte too many stops the program.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::string_view bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes.size() + page - 1) / page * page + page;
    map_ = static_cast<std::byte*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (map_ == MAP_FAILED) throw std::runtime_error("no memory");
    data_ = map_ + size_ - page - bytes.size();
    std::memcpy(data_, bytes.data(), bytes.size());
    mprotect(map_ + size_ - page, page, PROT_NONE);
  }
  explicit GuardedBytes(const at::Tensor& t)
      : GuardedBytes({static_cast<const char*>(t.const_data_ptr()), t.nbytes()}) {}
  ~GuardedBytes() { munmap(map_, size_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  const std::byte* data() const { return data_; }
  const float* floats() const { return reinterpret_cast<const float*>(data_); }

 private:
  size_t size_;
  std::byte *map_, *data_;
};

// `values` numbers of about +-size as blocks of `type`: random bits everywhere but in the scales.
inline std::string random_blocks(GgmlType type, int64_t values, uint64_t seed, double size = 1) {
  Random random(seed);
  const GgmlTraits traits = ggml_traits(type);
  std::string bytes(static_cast<size_t>(ggml_bytes(type, values)), '\0');
  const auto scale = [&](double unit) { return static_cast<float>((0.5 + random.uniform()) * unit * size); };
  if (type == GgmlType::F32 || type == GgmlType::BF16) {
    for (int64_t i = 0; i < values; ++i) {
      const auto value = static_cast<float>((2 * random.uniform() - 1) * size);
      if (type == GgmlType::F32) {
        std::memcpy(bytes.data() + 4 * i, &value, 4);
      } else {
        std::memcpy(bytes.data() + 2 * i, reinterpret_cast<const char*>(&value) + 2, 2);
      }
    }
    return bytes;
  }
  for (char& c : bytes) c = static_cast<char>(random.next());
  for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(traits.block_bytes)) {
    switch (type) {
      case GgmlType::Q8_0:
        put_half(bytes, at, scale(1.0 / 127));
        break;
      case GgmlType::Q4_0:
        put_half(bytes, at, scale(1.0 / 8));
        break;
      case GgmlType::Q5_0:
        put_half(bytes, at, scale(1.0 / 16));
        break;
      case GgmlType::Q4_1:
        put_half(bytes, at, scale(1.0 / 8)), put_half(bytes, at + 2, -scale(1));
        break;
      case GgmlType::Q5_1:
        put_half(bytes, at, scale(1.0 / 16)), put_half(bytes, at + 2, -scale(1));
        break;
      case GgmlType::Q2_K:
        put_half(bytes, at + 80, scale(1.0 / 40)), put_half(bytes, at + 82, scale(1.0 / 16));
        break;
      case GgmlType::Q3_K:
        put_half(bytes, at + 108, scale(1.0 / 100));
        break;
      case GgmlType::Q4_K:
      case GgmlType::Q5_K:
        put_half(bytes, at, scale(1.0 / 600)), put_half(bytes, at + 2, scale(1.0 / 60));
        break;
      case GgmlType::Q6_K:
        put_half(bytes, at + 208, scale(1.0 / 4000));
        break;
      default:
        throw std::runtime_error("no such blocks");
    }
  }
  return bytes;
}

inline LinearWeight random_weight(GgmlType type, int64_t out, int64_t in, uint64_t seed, double size = 1) {
  const auto owner = std::make_shared<const std::string>(random_blocks(type, out * in, seed, size));
  return LinearWeight(type, out, in, reinterpret_cast<const std::byte*>(owner->data()), owner);
}

}  // namespace steno::test
