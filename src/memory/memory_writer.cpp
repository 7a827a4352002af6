#include "memory/memory_writer.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <zstd.h>

#include <charconv>
#include <cstring>

#include "base/error.h"
#include "base/utf8.h"
#include "io/atomic_file.h"
#include "io/file_hash.h"
#include "io/json.h"
#include "io/safetensors_parse.h"
#include "io/shown.h"
#include "memory/memory_json.h"

namespace steno {
namespace {

constexpr size_t kBlock = 4096;             // what file systems share
constexpr size_t kMaxHeader = 100'000'000;  // the limit of the safetensors reference implementation
constexpr int kTextLevel = 9;               // of zstd; spans are short

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Packed, and filled up with an empty frame (which readers of zstd skip) to `multiple` bytes after `before` others, so
// that the numbers of the next span are aligned.
std::string pack_text(const std::string& text, size_t before, size_t multiple) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), kTextLevel);
  if (ZSTD_isError(size)) throw ResourceError("[memory] a text cannot be packed: {}", ZSTD_getErrorName(size));
  packed.resize(size);
  if ((before + size) % multiple == 0) return packed;
  const auto fill = static_cast<uint32_t>((multiple - (before + size + 8) % multiple) % multiple);
  const uint32_t frame[2] = {ZSTD_MAGIC_SKIPPABLE_START, fill};
  packed.append(reinterpret_cast<const char*>(frame), sizeof frame);
  packed.append(fill, '\0');
  return packed;
}

bool is_reserved(const std::string& name) {
  return name.empty() || name == kTextTensor || name == kTokensTensor || name.ends_with(kScaleSuffix);
}

}  // namespace

MemoryWriter::MemoryWriter(MemoryHeader header) : header_(std::move(header)) {
  header_.changed = time_stamp();
  if (header_.created.empty()) header_.created = header_.changed;
}

void MemoryWriter::add(const NewSpan& span, SlotType type) {
  SpanInfo info = span.info;
  if (info.tokens() < 1 || static_cast<int64_t>(span.tokens.size()) != info.tokens() ||
      static_cast<int64_t>(span.text.size()) != info.byte_end - info.byte_begin)
    throw std::logic_error("a span's tokens or text do not fit its ranges");
  const bool raw = info.kind == SpanKind::raw;
  if (raw != span.slots.tensors.empty()) throw std::logic_error("raw spans have no slots, and others have some");
  info.text_hash = hash_bytes(span.text);
  info.slots = span.slots.slots();
  info.slot_type = raw ? SlotType::f32 : type;

  std::vector<Part> parts;
  const auto put = [&](const std::string& name, at::Tensor tensor, int64_t columns = 0) {
    tensor = tensor.contiguous();
    const auto keep = std::make_shared<at::Tensor>(tensor);
    Part part;
    part.name = name;
    part.entry = {"", tensor.scalar_type(), tensor.sizes().vec(),
                  std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes())};
    part.hash = hash_bytes(as_text(part.entry.data));
    part.owner = keep;
    part.columns = columns;
    parts.push_back(std::move(part));
  };
  for (const auto& [name, tensor] : span.slots.tensors) {
    if (is_reserved(name)) throw std::logic_error("a method must not call a tensor '" + name + "'");
    if (tensor.dim() < 1 || tensor.size(0) != info.slots || info.slots < 1)
      throw std::logic_error("tensor '" + name + "' has no row for every slot");
    if (!at::isFloatingType(tensor.scalar_type())) {
      put(name, tensor.clone());
      continue;
    }
    if (tensor.dim() == 1) {  // a number for each slot: no row to share a scale
      put(name, encode_slots(tensor, SlotType::f32).values);
      continue;
    }
    const EncodedSlots encoded = encode_slots(tensor, type);
    put(name, encoded.values, type == SlotType::int4 ? tensor.size(-1) : 0);
    if (encoded.scales.defined()) put(name + kScaleSuffix, encoded.scales);
  }
  if (raw || span.keep_text) {
    at::Tensor ids = at::empty({info.tokens()}, at::kInt);
    std::copy(span.tokens.begin(), span.tokens.end(), ids.mutable_data_ptr<int32_t>());
    put(kTokensTensor, ids);
    size_t before = 0;
    for (const Part& part : parts) before += part.entry.data.size();
    const std::string packed = pack_text(span.text, before, 8);
    at::Tensor bytes = at::empty({static_cast<int64_t>(packed.size())}, at::kByte);
    std::memcpy(bytes.mutable_data_ptr(), packed.data(), packed.size());
    put(kTextTensor, bytes);
  }
  info.has_text = raw || span.keep_text;
  info.id = span_id(info);
  take(std::move(info), std::move(parts));
  ++new_spans_;
}

void MemoryWriter::keep(const std::shared_ptr<const MemoryFile>& file, size_t index) {
  file->check_identity(header_);
  std::vector<Part> parts;
  for (const MemoryFile::Part& from : file->parts(index)) {
    Part part;
    part.name = from.name;
    part.entry = from.entry;
    part.hash = from.hash;
    part.owner = file;
    part.columns = file->columns(index, from.name);
    part.source = file->mapping()->descriptor();
    part.offset = from.entry.data.data() - file->mapping()->bytes().data();
    parts.push_back(std::move(part));
  }
  take(file->spans()[index], std::move(parts));
}

void MemoryWriter::keep_all(const std::shared_ptr<const MemoryFile>& file) {
  for (size_t i = 0; i < file->spans().size(); ++i) keep(file, i);
}

void MemoryWriter::take(SpanInfo info, std::vector<Part> parts) {
  // JSON holds UTF-8 only; file names may be anything.
  if (find_invalid_utf8(info.source) != std::string_view::npos) info.source = shown(info.source);
  info.bytes = 0;
  for (const Part& part : parts) info.bytes += static_cast<int64_t>(part.entry.data.size());
  const std::string base = info.id.substr(0, info.id.find('-'));
  for (int repetition = 2; !ids_.insert(info.id).second; ++repetition) info.id = fmt::format("{}-{}", base, repetition);
  spans_.push_back(std::move(info));
  parts_.push_back(std::move(parts));
}

std::string MemoryWriter::header_text() const {
  std::vector<StoredSpan> stored;
  std::string tensors;
  uint64_t offset = 0;
  for (size_t i = 0; i < spans_.size(); ++i) {
    stored.push_back({spans_[i], {}, {}});
    for (const Part& part : parts_[i]) {
      stored.back().tensors.push_back({part.name, part.hash});
      if (part.columns > 0) stored.back().columns[part.name] = part.columns;
      const uint64_t end = offset + part.entry.data.size();
      tensors += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                             Json(tensor_prefix(i) + part.name).dump(), safetensors_dtype_name(part.entry.dtype),
                             fmt::join(part.entry.shape, ","), offset, end);
      offset = end;
    }
  }
  Json metadata;
  metadata["format"] = kMemoryFormat;  // first, so that a reader knows after a few bytes what it has
  for (const auto& [key, value] : memory_metadata(header_, stored)) metadata[key] = value;
  std::string text = R"({"__metadata__":)" + metadata.dump() + tensors + "}";
  text.resize((text.size() + 8 + kBlock - 1) / kBlock * kBlock - 8, ' ');
  if (text.size() > kMaxHeader)
    throw ResourceError("[memory] {} spans are too many for one file; make several memories of them", spans_.size());
  return text;
}

WriteReport MemoryWriter::write(const std::filesystem::path& path) {
  const std::string header = header_text();
  const uint64_t length = header.size();
  WriteReport report;
  report.spans = static_cast<int64_t>(spans_.size());
  report.new_spans = new_spans_;
  report.header_bytes = static_cast<int64_t>(length + sizeof length);

  AtomicFile::remove_leftovers(path);
  AtomicFile file(path);
  uint64_t bytes = sizeof length + length;
  bool all_new = true;
  for (const std::vector<Part>& parts : parts_)
    for (const Part& part : parts) bytes += part.entry.data.size(), all_new &= part.source < 0;
  if (all_new) file.reserve(bytes);  // blocks that are to be shared must not be taken beforehand
  file.write(&length, sizeof length);
  file.write(header);
  // Kept parts that follow each other in their file are copied together.
  int source = -1;
  int64_t begin = 0, end = 0;
  const auto copy_run = [&] {
    if (end > begin) file.copy(source, static_cast<uint64_t>(begin), static_cast<uint64_t>(end - begin));
    source = -1;
    begin = end = 0;
  };
  for (const std::vector<Part>& parts : parts_) {
    for (const Part& part : parts) {
      const auto bytes = static_cast<int64_t>(part.entry.data.size());
      const bool kept = part.source >= 0;
      (kept ? report.kept_bytes : report.new_bytes) += bytes;
      if (!kept || part.source != source || part.offset != end) copy_run();
      if (!kept) {
        file.write(part.entry.data.data(), part.entry.data.size());
        continue;
      }
      if (source < 0) source = part.source, begin = part.offset;
      end = part.offset + bytes;
    }
  }
  copy_run();
  file.commit();
  report.file_bytes = report.header_bytes + report.kept_bytes + report.new_bytes;
  return report;
}

std::vector<size_t> select_spans(const MemoryFile& file, const std::string& what) {
  const std::vector<SpanInfo>& spans = file.spans();
  if (const auto index = file.find(what)) return {*index};
  std::vector<size_t> found;
  for (size_t i = 0; i < spans.size(); ++i)
    if (spans[i].source == what) found.push_back(i);
  if (!found.empty()) return found;

  const auto number = [](std::string_view text) -> std::optional<size_t> {
    size_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
    return value;
  };
  const size_t dots = what.find("..");
  const auto first = number(std::string_view(what).substr(0, dots));
  const auto last = dots == std::string::npos ? first : number(std::string_view(what).substr(dots + 2));
  if (first && last && *first <= *last && *last < spans.size()) {
    for (size_t i = *first; i <= *last; ++i) found.push_back(i);
    return found;
  }
  if (spans.empty())
    throw UsageError("[memory] {}: it has no spans, so none is '{}'", file.path().string(), shown(what));
  throw UsageError(
      "[memory] {}: no span is '{}'; give an id, the name of a source, an index up to {}, or a range (2..5)",
      file.path().string(), shown(what), spans.size() - 1);
}

}  // namespace steno
