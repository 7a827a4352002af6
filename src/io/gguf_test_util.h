// For tests only: builds small GGUF files in memory, right and wrong ones.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "io/ggml_types.h"

namespace steno::test {

template <class T>
void append(std::string& bytes, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  bytes.append(raw, sizeof value);
}

inline void append_string(std::string& bytes, std::string_view text) {
  append<uint64_t>(bytes, text.size());
  bytes.append(text);
}

// The number of a metadata kind in the file.
template <class T>
constexpr uint32_t gguf_kind() {
  if constexpr (std::is_same_v<T, uint8_t>)
    return 0;
  else if constexpr (std::is_same_v<T, int8_t>)
    return 1;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return 2;
  else if constexpr (std::is_same_v<T, int16_t>)
    return 3;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return 4;
  else if constexpr (std::is_same_v<T, int32_t>)
    return 5;
  else if constexpr (std::is_same_v<T, float>)
    return 6;
  else if constexpr (std::is_same_v<T, bool>)
    return 7;
  else if constexpr (std::is_same_v<T, std::string>)
    return 8;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return 10;
  else if constexpr (std::is_same_v<T, int64_t>)
    return 11;
  else if constexpr (std::is_same_v<T, double>)
    return 12;
}

class GgufBuilder {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the layout; add() general.alignment yourself

  template <class T>
  GgufBuilder& add(std::string_view key, const T& value) {
    append_string(metadata_, key);
    append(metadata_, gguf_kind<T>());
    append_value(value);
    ++metadata_count_;
    return *this;
  }
  GgufBuilder& add(std::string_view key, const char* text) { return add(key, std::string(text)); }

  template <class T>
  GgufBuilder& add_array(std::string_view key, const std::vector<T>& values) {
    append_string(metadata_, key);
    append<uint32_t>(metadata_, 9);
    append(metadata_, gguf_kind<T>());
    append<uint64_t>(metadata_, values.size());
    for (size_t i = 0; i < values.size(); ++i) append_value(static_cast<T>(values[i]));
    ++metadata_count_;
    return *this;
  }

  // `dimensions` as in the file: the innermost first.
  GgufBuilder& tensor(std::string_view name, uint32_t type, const std::vector<uint64_t>& dimensions,
                      std::string_view data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    return tensor_at(name, type, dimensions, data_.size(), data);
  }
  // The offset is written as it is given.
  GgufBuilder& tensor_at(std::string_view name, uint32_t type, const std::vector<uint64_t>& dimensions, uint64_t offset,
                         std::string_view data) {
    append_string(infos_, name);
    append<uint32_t>(infos_, dimensions.size());
    for (uint64_t size : dimensions) append(infos_, size);
    append(infos_, type);
    append(infos_, offset);
    data_ += data;
    ++tensor_count_;
    return *this;
  }
  GgufBuilder& tensor(std::string_view name, GgmlType type, const std::vector<uint64_t>& dimensions,
                      std::string_view data) {
    return tensor(name, static_cast<uint32_t>(type), dimensions, data);
  }

  std::string build() const {
    std::string bytes = "GGUF";
    append(bytes, version);
    append(bytes, tensor_count_);
    append(bytes, metadata_count_);
    bytes += metadata_ + infos_;
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return bytes + data_;
  }

 private:
  template <class T>
  void append_value(const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
      append_string(metadata_, value);
    else
      append(metadata_, value);
  }

  std::string metadata_, infos_, data_;
  uint64_t metadata_count_ = 0, tensor_count_ = 0;
};

}  // namespace steno::test
