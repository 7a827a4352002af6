#include "memory/memory_file.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <zstd.h>

#include <cstring>
#include <fstream>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "io/file_hash.h"
#include "io/shown.h"
#include "memory/memory_json.h"

namespace steno {
namespace {

constexpr uint64_t kLongestText = uint64_t{1} << 28;  // bytes of one span

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_floating(at::ScalarType type) { return at::isFloatingType(type) || at::isComplexType(type); }

}  // namespace

// Puts a file together and checks it; a class of its own so that MemoryFile shows only what is finished.
class MemoryFileReader {
 public:
  explicit MemoryFileReader(std::shared_ptr<const MappedFile> mapping) : result_(new MemoryFile) {
    where_ = "[memory] " + mapping->path().string();
    result_->mapping_ = std::move(mapping);
  }

  std::shared_ptr<const MemoryFile> read() {
    try {
      result_->file_ = SafetensorsFile::parse(result_->mapping_);
    } catch (const InputError& error) {
      throw InputError("{}: it is no memory file, or a damaged one ({})", where_, error.what());
    }
    const SafetensorsFile& file = *result_->file_;
    std::vector<StoredSpan> spans;
    parse_memory_metadata(file.metadata(), where_, result_->header_, spans);
    for (const SafetensorsEntry& entry : file.entries()) entries_[entry.name] = &entry;

    size_t named = 0;
    for (size_t i = 0; i < spans.size(); ++i) {
      where_span_ = fmt::format("{}, span {}", where_, i);
      read_span(i, spans[i]);
      named += result_->parts_.back().size();
    }
    if (named != file.entries().size())
      throw InputError("{}: {} of its tensors belong to no span", where_, file.entries().size() - named);
    return result_;
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    throw InputError("{}: {}", where_span_, fmt::format(format, std::forward<Args>(args)...));
  }

  void read_span(size_t index, StoredSpan& span) {
    const std::string prefix = tensor_prefix(index);
    std::vector<MemoryFile::Part> parts;
    by_name_.clear();
    for (const StoredTensor& tensor : span.tensors) {
      const auto found = entries_.find(prefix + tensor.name);
      if (found == entries_.end()) refuse("tensor '{}' is missing", shown(prefix + tensor.name));
      const SafetensorsEntry& entry = *found->second;
      if (!by_name_.emplace(tensor.name, &entry).second) refuse("tensor '{}' is named twice", shown(tensor.name));
      if (hash_bytes(as_text(entry.data)) != tensor.hash)
        refuse("tensor '{}' is damaged (its checksum does not fit)", shown(entry.name));
      span.info.bytes += static_cast<int64_t>(entry.data.size());
      parts.push_back({tensor.name, entry, tensor.hash});
    }
    const auto columns = check_tensors(span);
    check_text(span.info);
    result_->columns_.push_back(columns);
    result_->spans_.push_back(std::move(span.info));
    result_->parts_.push_back(std::move(parts));
  }

  // Types and shapes of the method's tensors; the columns of those that are packed.
  std::map<std::string, int64_t> check_tensors(const StoredSpan& span) const {
    const SpanInfo& info = span.info;
    size_t methods = 0, packed = 0;
    for (const auto& [name, entry] : by_name_) {
      if (name == kTextTensor || name == kTokensTensor) continue;
      if (info.kind == SpanKind::raw) refuse("it is raw, but has a tensor '{}'", shown(name));
      if (name.ends_with(kScaleSuffix)) {
        const std::string base = name.substr(0, name.size() - std::strlen(kScaleSuffix));
        if (!by_name_.count(base) || base == kTextTensor || base == kTokensTensor)
          refuse("tensor '{}' has nothing to scale", shown(name));
        continue;
      }
      ++methods;
      if (entry->shape.empty() || entry->shape[0] != info.slots)
        refuse("tensor '{}' does not have {} rows", shown(name), info.slots);
      const auto scale = by_name_.find(name + kScaleSuffix);
      if (scale != by_name_.end()) {
        packed += check_scaled(span, name, *entry, *scale->second);
      } else if (is_floating(entry->dtype)) {
        const bool whole = info.slot_type == SlotType::f32 || entry->shape.size() == 1;
        const bool fits = (entry->dtype == at::kFloat && whole) ||
                          (entry->dtype == at::kBFloat16 && info.slot_type == SlotType::bf16 && !whole);
        if (!fits) refuse("tensor '{}' is not of type {}", shown(name), slot_type_name(info.slot_type));
      }
    }
    if (info.kind == SpanKind::slots && methods == 0) refuse("it has no slots");
    if (packed != span.columns.size()) refuse("'columns' names a tensor that is not packed");
    return span.columns;
  }

  // True for packed tensors (int4).
  bool check_scaled(const StoredSpan& span, const std::string& name, const SafetensorsEntry& values,
                    const SafetensorsEntry& scale) const {
    const bool int4 = span.info.slot_type == SlotType::int4;
    const at::ScalarType expected = int4 ? at::kByte : at::kChar;
    const std::vector<int64_t> rows(values.shape.begin(), values.shape.end() - 1);
    if (span.info.slot_type != SlotType::int8 && !int4) refuse("tensor '{}' needs no scale", shown(name));
    if (values.dtype != expected || scale.dtype != at::kFloat || scale.shape != rows || rows.empty())
      refuse("tensor '{}' and its scale do not fit together", shown(name));
    if (!int4) return false;
    const auto columns = span.columns.find(name);
    if (columns == span.columns.end() || (columns->second + 1) / 2 != values.shape.back())
      refuse("the 'columns' of tensor '{}' do not fit its shape", shown(name));
    return true;
  }

  void check_text(SpanInfo& info) const {
    const auto text = by_name_.find(kTextTensor), tokens = by_name_.find(kTokensTensor);
    info.has_text = text != by_name_.end();
    if (info.has_text != (tokens != by_name_.end())) refuse("text and tokens must come together");
    if (!info.has_text) {
      if (info.kind == SpanKind::raw) refuse("it is raw, but has no text");
      return;
    }
    const SafetensorsEntry& packed = *text->second;
    const SafetensorsEntry& ids = *tokens->second;
    if (ids.dtype != at::kInt || ids.shape.size() != 1 || ids.shape[0] != info.tokens())
      refuse("its tokens are not {} numbers of 32 bits", info.tokens());
    if (packed.dtype != at::kByte || packed.shape.size() != 1) refuse("its text is not a row of bytes");
    const auto length = static_cast<uint64_t>(info.byte_end - info.byte_begin);
    if (length > kLongestText || ZSTD_getFrameContentSize(packed.data.data(), packed.data.size()) != length)
      refuse("its text is not {} packed bytes", length);
  }

  std::shared_ptr<MemoryFile> result_;
  std::string where_, where_span_;
  std::unordered_map<std::string_view, const SafetensorsEntry*> entries_;
  std::map<std::string, const SafetensorsEntry*> by_name_;  // of the span
};

std::shared_ptr<const MemoryFile> MemoryFile::parse(std::shared_ptr<const MappedFile> file) {
  return MemoryFileReader(std::move(file)).read();
}

std::shared_ptr<const MemoryFile> MemoryFile::open(const std::filesystem::path& path) {
  return parse(MappedFile::open(path));
}

bool MemoryFile::is_memory_file(const std::filesystem::path& path) {
  // How our own files begin. Reading further would mean to parse whatever a stranger's file holds.
  const std::string beginning = fmt::format(R"({{"__metadata__":{{"format":"{}")", kMemoryFormat);
  std::ifstream file(path, std::ios::binary);
  std::string found(8 + beginning.size(), '\0');
  file.read(found.data(), static_cast<std::streamsize>(found.size()));
  return file.gcount() == static_cast<std::streamsize>(found.size()) && found.ends_with(beginning);
}

const std::filesystem::path& MemoryFile::path() const { return mapping_->path(); }

void MemoryFile::check_identity(const MemoryHeader& expected) const {
  check_same_identity("[memory] " + path().string(), header_, expected);
}

std::optional<size_t> MemoryFile::find(std::string_view id) const {
  for (size_t i = 0; i < spans_.size(); ++i)
    if (spans_[i].id == id) return i;
  return std::nullopt;
}

int64_t MemoryFile::columns(size_t index, const std::string& name) const {
  const auto found = columns_[index].find(name);
  return found == columns_[index].end() ? 0 : found->second;
}

SpanSlots MemoryFile::slots(size_t index) const {
  const c10::InferenceMode inference;
  const SpanInfo& info = spans_.at(index);
  if (info.kind == SpanKind::raw)
    throw InputError("[memory] {}: span {} is kept as text and has no slots", path().string(), index);
  const std::string prefix = tensor_prefix(index);
  SpanSlots result;
  result.source_tokens = info.tokens();
  for (const Part& part : parts_[index]) {
    if (part.name == kTextTensor || part.name == kTokensTensor || part.name.ends_with(kScaleSuffix)) continue;
    const at::Tensor values = file_->tensor(prefix + part.name);
    const std::string scale = prefix + part.name + kScaleSuffix;
    if (!file_->has(scale) && !is_floating(part.entry.dtype)) {
      result.tensors.emplace_back(part.name, values.clone());
      continue;
    }
    if (part.entry.shape.size() == 1) {  // a number for each slot, stored whole
      result.tensors.emplace_back(part.name, values.to(at::kFloat, false, true));
      continue;
    }
    const EncodedSlots encoded{values, file_->has(scale) ? file_->tensor(scale) : at::Tensor()};
    const int64_t packed = columns(index, part.name);
    result.tensors.emplace_back(part.name,
                                decode_slots(encoded, info.slot_type, packed > 0 ? packed : part.entry.shape.back()));
  }
  return result;
}

std::optional<std::string> MemoryFile::text(size_t index) const {
  const SpanInfo& info = spans_.at(index);
  if (!info.has_text) return std::nullopt;
  std::string text(static_cast<size_t>(info.byte_end - info.byte_begin), '\0');
  for (const Part& part : parts_[index]) {
    if (part.name != kTextTensor) continue;
    const size_t size = ZSTD_decompress(text.data(), text.size(), part.entry.data.data(), part.entry.data.size());
    if (ZSTD_isError(size) || size != text.size() || hash_bytes(text) != info.text_hash)
      throw InputError("[memory] {}: the text of span {} is not the one that was compressed", path().string(), index);
  }
  return text;
}

std::vector<TokenId> MemoryFile::tokens(size_t index) const {
  if (!spans_.at(index).has_text) return {};
  const at::Tensor ids = file_->tensor(tensor_prefix(index) + kTokensTensor);
  const int32_t* first = ids.const_data_ptr<int32_t>();
  return {first, first + ids.numel()};
}

}  // namespace steno
