#include "io/gguf_parse.h"

#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "base/error.h"
#include "base/utf8.h"
#include "io/shown.h"

namespace steno {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF values are copied as they are");

constexpr size_t kMaxName = 65535;
constexpr size_t kMinMetadataBytes = 8 + 1 + 4 + 1;    // length, one letter, kind, a value of one byte
constexpr size_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;  // length, one letter, number of dimensions, type, offset

// The numbers of metadata kinds in the file; GgufValue and GgufArray hold the same kinds.
enum Kind : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

class Reader {
 public:
  explicit Reader(const MappedFile& file) : bytes_(file.bytes()), where_("[gguf] " + file.path().string()) {}

  const std::string& where() const { return where_; }
  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  template <class T>
  T read() {
    T value;
    need(sizeof value);
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  bool read_bool() {
    const auto byte = read<uint8_t>();
    if (byte > 1) throw InputError("{}: byte {} is {}, not a bool (0 or 1)", where_, position_ - 1, byte);
    return byte == 1;
  }

  std::string_view read_string() {
    const auto length = read<uint64_t>();
    need(length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return text;
  }

  // `what`: "metadata key" or "tensor name".
  std::string_view read_name(const char* what) {
    const size_t start = position_;
    const std::string_view name = read_string();
    if (name.empty() || name.size() > kMaxName)
      throw InputError("{}: {} at byte {} has {} bytes (1 to {} are possible)", where_, what, start, name.size(),
                       kMaxName);
    const bool has_control = std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 32 || c == 127; });
    if (has_control || find_invalid_utf8(name) != std::string_view::npos)
      throw InputError("{}: {} at byte {} is not printable UTF-8", where_, what, start);
    return name;
  }

  // A count of items of at least `item_bytes` each, which must fit into the rest of the file.
  size_t read_count(const char* what, size_t item_bytes) { return check_count(read<uint64_t>(), what, item_bytes); }
  size_t check_count(uint64_t count, const char* what, size_t item_bytes) const {
    if (count > remaining() / item_bytes)
      throw InputError("{}: {} {} cannot fit into the remaining {} bytes; the file is cut short or damaged", where_,
                       count, what, remaining());
    return static_cast<size_t>(count);
  }

 private:
  void need(uint64_t count) const {
    if (count > remaining())
      throw InputError("{}: {} bytes are expected at byte {}, but only {} follow; the file is cut short or damaged",
                       where_, count, position_, remaining());
  }

  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  std::string where_;
};

template <class T>
GgufArray read_numbers(Reader& reader) {
  std::vector<T> values(reader.read_count("array elements", sizeof(T)));
  for (T& value : values) value = reader.read<T>();
  return values;
}

GgufArray read_array(Reader& reader, std::string_view key) {
  const auto kind = reader.read<uint32_t>();
  switch (kind) {
    case kU8:
      return read_numbers<uint8_t>(reader);
    case kI8:
      return read_numbers<int8_t>(reader);
    case kU16:
      return read_numbers<uint16_t>(reader);
    case kI16:
      return read_numbers<int16_t>(reader);
    case kU32:
      return read_numbers<uint32_t>(reader);
    case kI32:
      return read_numbers<int32_t>(reader);
    case kF32:
      return read_numbers<float>(reader);
    case kU64:
      return read_numbers<uint64_t>(reader);
    case kI64:
      return read_numbers<int64_t>(reader);
    case kF64:
      return read_numbers<double>(reader);
    case kBool: {
      std::vector<bool> values(reader.read_count("array elements", 1));
      for (size_t i = 0; i < values.size(); ++i) values[i] = reader.read_bool();
      return values;
    }
    case kString: {
      std::vector<std::string_view> values(reader.read_count("strings", 8));
      for (auto& value : values) value = reader.read_string();
      return values;
    }
    case kArray:
      throw InputError("{}: key '{}': arrays of arrays are not supported", reader.where(), shown(key));
    default:
      throw InputError("{}: key '{}': unknown element type {}; the file is damaged", reader.where(), shown(key), kind);
  }
}

GgufValue read_value(Reader& reader, std::string_view key) {
  const auto kind = reader.read<uint32_t>();
  switch (kind) {
    case kU8:
      return reader.read<uint8_t>();
    case kI8:
      return reader.read<int8_t>();
    case kU16:
      return reader.read<uint16_t>();
    case kI16:
      return reader.read<int16_t>();
    case kU32:
      return reader.read<uint32_t>();
    case kI32:
      return reader.read<int32_t>();
    case kF32:
      return reader.read<float>();
    case kBool:
      return reader.read_bool();
    case kString:
      return reader.read_string();
    case kArray:
      return read_array(reader, key);
    case kU64:
      return reader.read<uint64_t>();
    case kI64:
      return reader.read<int64_t>();
    case kF64:
      return reader.read<double>();
    default:
      throw InputError("{}: key '{}': unknown value type {}; the file is damaged", reader.where(), shown(key), kind);
  }
}

struct TensorInfo {
  GgufTensor tensor;
  uint64_t offset = 0;  // from the start of the data
  uint64_t bytes = 0;   // 0: the type's size is not known
};

TensorInfo read_tensor_info(Reader& reader) {
  TensorInfo info;
  GgufTensor& tensor = info.tensor;
  tensor.name = reader.read_name("tensor name");
  const auto fail = [&](const std::string& what) {
    throw InputError("{}: tensor '{}': {}", reader.where(), shown(tensor.name), what);
  };

  const auto dimensions = reader.read<uint32_t>();
  if (dimensions > 4) fail(fmt::format("it has {} dimensions; 4 is the most", dimensions));
  int64_t numel = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = reader.read<uint64_t>();
    if (size == 0) fail(fmt::format("dimension {} is 0", i));
    if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        __builtin_mul_overflow(numel, static_cast<int64_t>(size), &numel))
      fail("its number of values overflows 64 bits");
    tensor.shape.push_back(static_cast<int64_t>(size));
  }

  const auto type = reader.read<uint32_t>();
  tensor.type = static_cast<GgmlType>(type);
  const GgmlTraits traits = ggml_traits(tensor.type);
  if (traits.block_values > 0) {
    const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.front();
    if (row % traits.block_values != 0)
      fail(fmt::format("rows of {} values are not whole blocks of {} ({})", row, traits.block_values,
                       ggml_type_name(type)));
    int64_t bytes = 0;
    if (__builtin_mul_overflow(numel / traits.block_values, traits.block_bytes, &bytes))
      fail("its size in bytes overflows 64 bits");
    info.bytes = static_cast<uint64_t>(bytes);
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  info.offset = reader.read<uint64_t>();
  return info;
}

uint32_t read_header(Reader& reader, const MappedFile& file) {
  const auto magic = reader.remaining() >= 4 ? reader.read<uint32_t>() : 0;
  if (std::memcmp(&magic, "GGUF", 4) != 0)
    throw InputError("{}: this is not a GGUF file (it does not begin with 'GGUF')", reader.where());
  const auto version = reader.read<uint32_t>();
  if (version != 0 && (version & 0xFFFF) == 0)
    throw InputError("{}: the file is big-endian; convert it to little-endian with gguf_convert_endian.py",
                     reader.where());
  if (version != 2 && version != 3)
    throw InputError("{}: GGUF version {} is not supported (2 and 3 are); convert the model again", reader.where(),
                     version);
  return version;
}

uint64_t alignment_of(const GgufPart& part, const std::string& where) {
  for (const auto& [key, value] : part.metadata) {
    if (key != "general.alignment") continue;
    int64_t alignment = 0;
    if (!as_int(value, alignment) || alignment < 1 || alignment > (int64_t{1} << 30) || (alignment & (alignment - 1)))
      throw InputError("{}: general.alignment is not a power of two", where);
    return static_cast<uint64_t>(alignment);
  }
  return 32;
}

// Gives every tensor its bytes.
void place_tensors(Reader& reader, std::span<const std::byte> bytes, uint64_t alignment,
                   std::vector<TensorInfo>& infos) {
  const uint64_t start = (reader.position() + alignment - 1) / alignment * alignment;
  const uint64_t size = bytes.size() > start ? bytes.size() - start : 0;
  std::vector<const TensorInfo*> by_offset;
  for (TensorInfo& info : infos) {
    const auto fail = [&](const std::string& what) {
      throw InputError("{}: tensor '{}': {}", reader.where(), shown(info.tensor.name), what);
    };
    if (info.offset % alignment != 0) fail(fmt::format("offset {} is not a multiple of {}", info.offset, alignment));
    if (info.offset > size || info.bytes > size - info.offset)
      fail(fmt::format("its {} bytes at offset {} lie outside the {} bytes of data; the file is cut short or damaged",
                       info.bytes, info.offset, size));
    if (info.bytes == 0) continue;
    info.tensor.data = bytes.subspan(start + info.offset, info.bytes);
    by_offset.push_back(&info);
  }
  std::sort(by_offset.begin(), by_offset.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i)
    if (by_offset[i]->offset - by_offset[i - 1]->offset < by_offset[i - 1]->bytes)
      throw InputError("{}: tensors '{}' and '{}' overlap; the file is damaged", reader.where(),
                       shown(by_offset[i - 1]->tensor.name), shown(by_offset[i]->tensor.name));
}

}  // namespace

bool as_int(const GgufValue& value, int64_t& out) {
  return std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          out = static_cast<int64_t>(v);
          return std::in_range<int64_t>(v);
        } else {
          return false;
        }
      },
      value);
}

GgufPart parse_gguf_part(std::shared_ptr<const MappedFile> file) {
  Reader reader(*file);
  GgufPart part;
  part.version = read_header(reader, *file);
  const auto tensor_count = reader.read_count("tensors", kMinTensorBytes);
  const auto metadata_count = reader.read_count("metadata values", kMinMetadataBytes);

  std::unordered_set<std::string_view> keys;
  for (size_t i = 0; i < metadata_count; ++i) {
    const std::string_view key = reader.read_name("metadata key");
    if (!keys.insert(key).second) throw InputError("{}: key '{}' stands there twice", reader.where(), shown(key));
    part.metadata.emplace_back(key, read_value(reader, key));
  }

  std::unordered_set<std::string_view> names;
  std::vector<TensorInfo> infos;
  for (size_t i = 0; i < tensor_count; ++i) {
    infos.push_back(read_tensor_info(reader));
    const std::string_view name = infos.back().tensor.name;
    if (!names.insert(name).second) throw InputError("{}: tensor '{}' stands there twice", reader.where(), shown(name));
  }
  place_tensors(reader, file->bytes(), alignment_of(part, reader.where()), infos);
  for (TensorInfo& info : infos) part.tensors.push_back(std::move(info.tensor));
  part.file = std::move(file);
  return part;
}

}  // namespace steno
