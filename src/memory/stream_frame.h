// What every stream does in the same way: reading in chunks, telling what was dropped, and the head of a saved file.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "io/safetensors.h"
#include "memory/stream.h"

namespace steno {

// Throws InputError for an id outside the vocabulary.
void check_token_ids(std::span<const TokenId> tokens, int64_t vocab);

// Some layer reads a window of its own: Input::row_positions are needed.
bool has_sliding_layers(const ModelConfig& model);

// Calls `read(chunk, logits)` for `chunk_size` tokens at a time. It returns logits [1, T', V] or [T', V], or an
// undefined tensor; LogitRows::last becomes none for all chunks but the last one. Between chunks: progress, and
// Interrupted after Ctrl-C. Returns all logits [T, V]; undefined when there are none.
at::Tensor feed_in_chunks(std::span<const TokenId> tokens, LogitRows logits, int64_t chunk_size,
                          const std::function<void(int64_t)>& progress,
                          const std::function<at::Tensor(std::span<const TokenId>, LogitRows)>& read);

// Ranges [first, last] of the positions 0 .. seen - 1 that are not among `kept` (ascending).
std::vector<std::pair<int64_t, int64_t>> ranges_without(std::span<const int64_t> kept, int64_t seen);

// What a saved stream must agree with.
struct StreamKind {
  std::string method;
  int version = 1;
  FieldValues params;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// content_checksum() of io/content_checksum.h.
std::string stream_checksum(const std::map<std::string, std::string>& metadata, const NamedTensors& tensors);

// With the metadata "checksum".
void save_stream(const std::string& path, const StreamKind& kind, const Identity& identity,
                 const std::map<std::string, int64_t>& counts, const NamedTensors& tensors);

// A file written by save_stream, opened and compared with what the stream is. A file that was cut or changed is refused
// by its checksum. Every error is an InputError that names the file.
class SavedStream {
 public:
  SavedStream(const std::string& path, const StreamKind& kind, const Identity& identity);
  // A number >= 0.
  int64_t count(const std::string& name) const;
  const NamedTensors& tensors() const { return tensors_; }  // views of the mapped file
  // One tensor of one dimension.
  at::Tensor list(const std::string& name, at::ScalarType type) const;

 private:
  const std::string& value(const std::string& name) const;

  std::string path_;
  std::shared_ptr<const SafetensorsFile> file_;
  NamedTensors tensors_;
};

}  // namespace steno
