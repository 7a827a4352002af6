#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "io/safetensors_parse.h"

namespace steno {

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide types first, so that every tensor is aligned for its type: the header is padded to 8 bytes.
  std::vector<const std::pair<std::string, at::Tensor>*> ordered;
  for (const auto& named : tensors) ordered.push_back(&named);
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](auto* a, auto* b) { return a->second.element_size() > b->second.element_size(); });

  auto header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto* named : ordered) {
    const auto& [name, tensor] = *named;
    const char* dtype = safetensors_dtype_name(tensor.scalar_type());
    TORCH_CHECK(dtype, "write_safetensors: no such type in the format: ", tensor.scalar_type());
    TORCH_CHECK(name != "__metadata__" && !header.contains(name), "write_safetensors: name used twice: ", name);
    const uint64_t bytes = tensor.numel() * tensor.element_size();
    header[name] = {{"dtype", dtype}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();

  AtomicFile file(path);
  file.reserve(8 + length + offset);
  file.write(&length, sizeof length);
  file.write(text);
  for (const auto* named : ordered) {
    const at::Tensor tensor = named->second.detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
    file.write(tensor.const_data_ptr(), tensor.nbytes());
  }
  file.commit();
}

}  // namespace steno
