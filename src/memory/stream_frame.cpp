#include "memory/stream_frame.h"

#include <ATen/ATen.h>
#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "io/content_checksum.h"

namespace steno {

void check_token_ids(std::span<const TokenId> tokens, int64_t vocab) {
  for (const TokenId id : tokens)
    if (id < 0 || id >= vocab) throw InputError("[stream] token id {} is outside the vocabulary of {}", id, vocab);
}

bool has_sliding_layers(const ModelConfig& model) {
  return std::any_of(model.kinds.begin(), model.kinds.end(), [](const LayerKind& kind) { return kind.window > 0; });
}

at::Tensor feed_in_chunks(std::span<const TokenId> tokens, LogitRows logits, int64_t chunk_size,
                          const std::function<void(int64_t)>& progress,
                          const std::function<at::Tensor(std::span<const TokenId>, LogitRows)>& read) {
  std::vector<at::Tensor> parts;
  const auto count = static_cast<int64_t>(tokens.size());
  for (int64_t done = 0; done < count;) {
    if (interrupted()) throw Interrupted("interrupted after reading {} of {} tokens", done, count);
    const int64_t steps = std::min(chunk_size, count - done);
    const bool last = done + steps == count;
    const LogitRows wanted = logits == LogitRows::last && !last ? LogitRows::none : logits;
    const at::Tensor out = read(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(steps)), wanted);
    if (out.defined()) parts.push_back(out.dim() == 3 ? out.squeeze(0) : out);
    done += steps;
    if (progress) progress(done);
  }
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts[0] : at::cat(parts, 0);
}

std::vector<std::pair<int64_t, int64_t>> ranges_without(std::span<const int64_t> kept, int64_t seen) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  int64_t next = 0;
  for (const int64_t position : kept) {
    if (position > next) ranges.emplace_back(next, position - 1);
    next = position + 1;
  }
  if (next < seen) ranges.emplace_back(next, seen - 1);
  return ranges;
}

std::string stream_checksum(const std::map<std::string, std::string>& metadata, const NamedTensors& tensors) {
  return content_checksum(metadata, tensors);
}

void save_stream(const std::string& path, const StreamKind& kind, const Identity& identity,
                 const std::map<std::string, int64_t>& counts, const NamedTensors& tensors) {
  std::map<std::string, std::string> metadata = {{"format", "steno.stream"},
                                                 {"format_version", "1"},
                                                 {"method", kind.method},
                                                 {"method_version", std::to_string(kind.version)}};
  for (const auto& [name, number] : counts) metadata[name] = std::to_string(number);
  for (const auto& [name, value] : kind.params) metadata["param." + name] = value;
  for (const auto& [name, hash] : identity) metadata["identity." + name] = hash;
  metadata["checksum"] = stream_checksum(metadata, tensors);
  write_safetensors(path, tensors, metadata);
}

SavedStream::SavedStream(const std::string& path, const StreamKind& kind, const Identity& identity)
    : path_(path), file_(SafetensorsFile::open(path)) {
  const auto expect = [&](const std::string& name, const std::string& expected) {
    if (value(name) != expected)
      throw InputError("[load] {}: {} is '{}', this stream has '{}'", path_, name, value(name), expected);
  };
  expect("format", "steno.stream");
  expect("format_version", "1");
  for (const auto& entry : file_->entries()) tensors_.emplace_back(entry.name, file_->tensor(entry.name));
  if (value("checksum") != stream_checksum(file_->metadata(), tensors_))
    throw InputError("[load] {}: the file is damaged: its contents and its checksum differ", path_);
  expect("method", kind.method);
  expect("method_version", std::to_string(kind.version));
  for (const auto& [name, text] : kind.params) expect("param." + name, text);
  for (const auto& [name, hash] : identity)
    if (value("identity." + name) != hash)
      throw InputError("[load] {}: saved under another {} (its hash is {}, here it is {})", path_, name,
                       value("identity." + name), hash);
}

const std::string& SavedStream::value(const std::string& name) const {
  const auto found = file_->metadata().find(name);
  if (found == file_->metadata().end())
    throw InputError("[load] {}: not a saved stream ('{}' is missing)", path_, name);
  return found->second;
}

int64_t SavedStream::count(const std::string& name) const {
  int64_t number = -1;
  try {
    number = parse_int("load", name, value(name));
  } catch (const UsageError&) {
  }
  if (number < 0 || number > int64_t{1} << 60)
    throw InputError("[load] {}: {} is '{}', which is no count", path_, name, value(name));
  return number;
}

at::Tensor SavedStream::list(const std::string& name, at::ScalarType type) const {
  for (const auto& [key, tensor] : tensors_) {
    if (key != name) continue;
    if (tensor.dim() != 1 || tensor.scalar_type() != type)
      throw InputError("[load] {}: tensor '{}' is no list of {}", path_, name, toString(type));
    return tensor.contiguous();
  }
  throw InputError("[load] {}: tensor '{}' is missing", path_, name);
}

}  // namespace steno
