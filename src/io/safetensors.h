// safetensors files (github.com/huggingface/safetensors, "Format"): single, or sharded by an index file.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/mapped_file.h"

namespace steno {

struct SafetensorsEntry {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
};

class SafetensorsFile {
 public:
  // A .safetensors file, or a model.safetensors.index.json whose shards stand beside it. Throws InputError.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);
  static std::shared_ptr<const SafetensorsFile> parse(std::shared_ptr<const MappedFile> file);

  const std::vector<SafetensorsEntry>& entries() const;        // by name
  const std::map<std::string, std::string>& metadata() const;  // "__metadata__"
  const std::filesystem::path& path() const;
  bool has(std::string_view name) const;
  // A read-only view of the mapped file that keeps it alive; copied when its bytes are not aligned for the type.
  // Throws InputError when the name is absent.
  at::Tensor tensor(std::string_view name) const;

  ~SafetensorsFile();

 private:
  SafetensorsFile();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes the file atomically (io/atomic_file.h). Tensors on any device, made contiguous. Throws ResourceError when the
// disk is full; an older file of that name then is untouched.
void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace steno
