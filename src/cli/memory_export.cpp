#include "cli/memory_export.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/memory_show.h"
#include "io/atomic_file.h"

namespace steno {

std::string export_lines(const MemoryFile& file) {
  std::string lines;
  for (size_t i = 0; i < file.spans().size(); ++i) {
    Json json = span_json(file, i);
    if (const auto text = file.text(i)) json["text"] = *text;
    lines += json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return lines;
}

void export_safetensors(const MemoryFile& file, const std::filesystem::path& path) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t i = 0; i < file.spans().size(); ++i) {
    if (file.spans()[i].kind == SpanKind::raw) continue;
    for (const auto& [name, tensor] : file.slots(i).tensors)
      tensors.emplace_back(fmt::format("span.{:06}.{}", i, name), tensor);
  }
  Json identity = file.header().identity;
  write_safetensors(path, tensors, {{"format", "pt"}, {"method", file.header().method}, {"identity", identity.dump()}});
}

void export_npy(const MemoryFile& file, const std::filesystem::path& path) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < file.spans().size(); ++i) {
    if (file.spans()[i].kind == SpanKind::raw) continue;
    const SpanSlots slots = file.slots(i);
    const at::Tensor& tensor = slots.tensors.front().second;
    const bool fits = slots.tensors.size() == 1 && tensor.scalar_type() == at::kFloat &&
                      (parts.empty() || tensor.sizes().slice(1) == parts.front().sizes().slice(1));
    if (!fits)
      throw UsageError("[memory] {}: its slots are not one kind of row, as .npy needs; export to .safetensors",
                       file.path().string());
    parts.push_back(tensor);
  }
  if (parts.empty()) throw UsageError("[memory] {}: it has no slots to export", file.path().string());
  const at::Tensor all = at::cat(parts, 0).contiguous();
  // Format version 1.0: magic, length of the header, a Python dictionary padded to 64 bytes.
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", fmt::join(all.sizes().vec(), ", "));
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  AtomicFile out(path);
  out.write(std::string_view("\x93NUMPY\x01\x00", 8));
  out.write(&length, sizeof length);
  out.write(header);
  out.write(all.const_data_ptr(), all.nbytes());
  out.commit();
}

}  // namespace steno
