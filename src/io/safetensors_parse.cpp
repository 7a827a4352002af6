#include "io/safetensors_parse.h"

#include <array>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "io/json.h"
#include "io/shown.h"

namespace steno {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
constexpr size_t kMaxDimensions = 64;         // the limit of ATen

constexpr std::array<std::pair<const char*, at::ScalarType>, 19> kTypes = {{
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U64", at::kUInt64},
    {"U32", at::kUInt32},
    {"U16", at::kUInt16},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
    {"C64", at::kComplexFloat},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
    {"F8_E4M3FNUZ", at::kFloat8_e4m3fnuz},
    {"F8_E5M2FNUZ", at::kFloat8_e5m2fnuz},
    {"F8_E8M0", at::kFloat8_e8m0fnu},
}};

struct Described {
  SafetensorsEntry entry;
  uint64_t begin = 0, end = 0;
};

// Reads the header as a stream of JSON events and refuses the first one that does not belong, so that neither depth
// nor a flood of values can cost memory.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string where) : where_(std::move(where)) {}

  std::vector<Described> tensors;
  std::map<std::string, std::string> metadata;

  bool start_object(size_t) override {
    if (level_ == Level::start) return enter(Level::top);
    if (level_ == Level::top && name_ == "__metadata__") return enter(Level::metadata);
    if (level_ != Level::top) fail("an object is not expected");
    tensors.push_back({});
    tensors.back().entry.name = name_;
    fields_ = 0;
    return enter(Level::tensor);
  }

  bool end_object() override {
    if (level_ == Level::tensor && fields_ != (kDtype | kShape | kOffsets))
      fail("'dtype', 'shape' and 'data_offsets' are needed");
    return enter(Level::top);
  }

  bool key(std::string& name) override {
    if (level_ == Level::top) {
      name_ = name;
      if (!names_.insert({name, true}).second) fail("it stands there twice");
    } else if (level_ == Level::tensor) {
      const unsigned field = name == "dtype"          ? kDtype
                             : name == "shape"        ? kShape
                             : name == "data_offsets" ? kOffsets
                                                      : 0;
      if (field == 0) fail(fmt::format("unknown field '{}'", shown(name)));
      if (fields_ & field) fail(fmt::format("'{}' stands there twice", name));
      fields_ |= field_ = field;
    } else {
      key_ = name;
    }
    return true;
  }

  bool string(std::string& text) override {
    if (level_ == Level::metadata) {
      if (!metadata.emplace(key_, text).second) fail(fmt::format("'{}' stands there twice", shown(key_)));
    } else if (level_ == Level::tensor && field_ == kDtype) {
      const auto dtype = safetensors_dtype(text);
      if (!dtype) fail(fmt::format("dtype '{}' is not supported", shown(text)));
      tensors.back().entry.dtype = *dtype;
    } else {
      fail("a text is not expected");
    }
    return true;
  }

  bool start_array(size_t) override {
    if (level_ != Level::tensor || field_ == kDtype) fail("a list is not expected");
    items_ = 0;
    return enter(Level::list);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (level_ != Level::list) fail("a number is not expected");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) fail("a number has more than 63 bits");
    Described& tensor = tensors.back();
    if (field_ == kShape) {
      if (items_ == kMaxDimensions) fail(fmt::format("it has more than {} dimensions", kMaxDimensions));
      tensor.entry.shape.push_back(static_cast<int64_t>(value));
    } else {
      if (items_ == 2) fail("'data_offsets' are two numbers");
      (items_ == 0 ? tensor.begin : tensor.end) = value;
    }
    ++items_;
    return true;
  }

  bool end_array() override {
    if (field_ == kOffsets && items_ != 2) fail("'data_offsets' are two numbers");
    return enter(Level::tensor);
  }

  bool null() override { return fail("null is not expected"); }
  bool boolean(bool) override { return fail("a bool is not expected"); }
  bool number_integer(number_integer_t) override { return fail("a negative number is not expected"); }
  bool number_float(number_float_t, const std::string&) override { return fail("a fraction is not expected"); }
  bool binary(binary_t&) override { return fail("binary data is not expected"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw InputError("{}: the header is not valid JSON at byte {}", where_, position);
  }

 private:
  enum class Level { start, top, metadata, tensor, list };
  static constexpr unsigned kDtype = 1, kShape = 2, kOffsets = 4;

  bool enter(Level level) {
    level_ = level;
    return true;
  }

  bool fail(const std::string& what) const {
    if (level_ == Level::start) throw InputError("{}: the header is not a JSON object", where_);
    throw InputError("{}: header, '{}': {}", where_, shown(name_), what);
  }

  std::string where_;
  Level level_ = Level::start;
  std::string name_;                   // of the tensor, or __metadata__
  std::string key_;                    // within __metadata__
  std::map<std::string, bool> names_;  // of everything at the top
  unsigned field_ = 0, fields_ = 0;    // of the tensor: this one, all so far
  size_t items_ = 0;                   // of the list
};

// Size in bytes; throws when it overflows. Dimensions of 0 count as 1 in the check, so that strides cannot overflow.
uint64_t byte_size(const SafetensorsEntry& entry, const std::string& where) {
  int64_t bytes = static_cast<int64_t>(c10::elementSize(entry.dtype));
  bool empty = false;
  for (int64_t size : entry.shape) {
    empty |= size == 0;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes))
      throw InputError("{}: tensor '{}': its size overflows 64 bits", where, shown(entry.name));
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

// The tensors must cover the data without gap or overlap.
void place_tensors(std::vector<Described>& tensors, std::span<const std::byte> data, const std::string& where) {
  std::sort(tensors.begin(), tensors.end(), [](const Described& a, const Described& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (Described& tensor : tensors) {
    const auto fail = [&](const std::string& what) {
      throw InputError("{}: tensor '{}': {}", where, shown(tensor.entry.name), what);
    };
    if (tensor.begin > tensor.end || tensor.end > data.size())
      fail(fmt::format("its data_offsets [{}, {}] lie outside the {} bytes of data; the file is cut short or damaged",
                       tensor.begin, tensor.end, data.size()));
    const uint64_t expected = byte_size(tensor.entry, where);
    if (tensor.end - tensor.begin != expected)
      fail(fmt::format("it has {} bytes, but its dtype and shape need {}", tensor.end - tensor.begin, expected));
    if (tensor.begin != covered)
      fail(fmt::format("its data begins at {}, {} the end of the tensor before it ({})", tensor.begin,
                       tensor.begin < covered ? "before" : "after", covered));
    covered = tensor.end;
    tensor.entry.data = data.subspan(tensor.begin, expected);
  }
  if (covered != data.size())
    throw InputError("{}: {} bytes at the end belong to no tensor; the file is damaged", where, data.size() - covered);
}

}  // namespace

std::optional<at::ScalarType> safetensors_dtype(std::string_view name) {
  for (const auto& [known, dtype] : kTypes)
    if (name == known) return dtype;
  return std::nullopt;
}

const char* safetensors_dtype_name(at::ScalarType dtype) {
  for (const auto& [name, known] : kTypes)
    if (dtype == known) return name;
  return nullptr;
}

SafetensorsPart parse_safetensors_part(std::shared_ptr<const MappedFile> file) {
  const std::string where = "[safetensors] " + file->path().string();
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() < 8) throw InputError("{}: {} bytes are too few for a safetensors file", where, bytes.size());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > bytes.size() - 8)
    throw InputError("{}: a header of {} bytes does not fit into the file; it is cut short, damaged or not safetensors",
                     where, length);
  if (length > kMaxHeader) throw InputError("{}: the header has {} bytes; {} are the most", where, length, kMaxHeader);
  const char* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  if (length == 0 || text[0] != '{') throw InputError("{}: the header does not begin with '{{'", where);

  // The JSON reader would take a zero byte for the end of the text.
  if (std::memchr(text, 0, length)) throw InputError("{}: there is a zero byte in the header; it is damaged", where);
  HeaderReader header(where);
  nlohmann::json::sax_parse(text, text + length, &header);
  place_tensors(header.tensors, bytes.subspan(8 + length), where);
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const Described& a, const Described& b) { return a.entry.name < b.entry.name; });
  SafetensorsPart part;
  for (Described& tensor : header.tensors) part.entries.push_back(std::move(tensor.entry));
  part.metadata = std::move(header.metadata);
  part.file = std::move(file);
  return part;
}

std::map<std::string, std::string> parse_safetensors_index(std::string_view text, const std::string& where) {
  const nlohmann::json index = parse_json(text, where);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object()) throw InputError("{}: there is no 'weight_map' object", where);
  std::map<std::string, std::string> files;
  for (const auto& [name, value] : map->items()) {
    const auto* file = value.get_ptr<const std::string*>();
    const bool plain = file && !file->empty() && *file != "." && *file != ".." &&
                       file->find('/') == std::string::npos && file->find('\0') == std::string::npos;
    if (!plain)
      throw InputError("{}: tensor '{}': its file must be the name of a file in the same folder", where, shown(name));
    files.emplace(name, *file);
  }
  return files;
}

}  // namespace steno
