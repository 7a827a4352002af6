#include "io/content_checksum.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "io/file_hash.h"

namespace steno {

std::string content_checksum(const std::map<std::string, std::string>& metadata,
                             const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  std::map<std::string, std::string> parts;  // by name: the order in a file is not the order of saving
  for (const auto& [name, value] : metadata)
    if (name != "checksum") parts["m " + name] = value;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor data = tensor.detach().to(at::kCPU).contiguous();
    parts["t " + name] = fmt::format("{} [{}] {}", toString(data.scalar_type()), fmt::join(data.sizes(), " "),
                                     hash_bytes({static_cast<const char*>(data.const_data_ptr()), data.nbytes()}));
  }
  std::string text;
  for (const auto& [name, value] : parts) text += fmt::format("{} {} {}\n", name, value.size(), value);
  return hash_bytes(text);
}

}  // namespace steno
