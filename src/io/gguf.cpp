#include "io/gguf.h"

#include <unordered_map>

#include "base/error.h"
#include "io/gguf_parse.h"

namespace steno {

struct GgufFile::Impl {
  std::vector<GgufPart> parts;  // the first holds the metadata
  std::vector<GgufTensor> tensors;
  std::unordered_map<std::string_view, size_t> keys, names;  // to indices

  const std::filesystem::path& path() const { return parts.front().file->path(); }
  std::string where() const { return "[gguf] " + path().string(); }

  void add(GgufPart part) {
    for (GgufTensor& tensor : part.tensors) {
      if (!names.emplace(tensor.name, tensors.size()).second)
        throw InputError("[gguf] {}: tensor '{}' is in an earlier part of the split file, too",
                         part.file->path().string(), tensor.name);
      tensors.push_back(std::move(tensor));
    }
    part.tensors.clear();
    if (parts.empty())
      for (size_t i = 0; i < part.metadata.size(); ++i) keys.emplace(part.metadata[i].first, i);
    parts.push_back(std::move(part));
  }
};

namespace {

const GgufValue* find_value(const GgufPart& part, std::string_view key) {
  for (const auto& [name, value] : part.metadata)
    if (name == key) return &value;
  return nullptr;
}

// An integer of a part's metadata, or `fallback` when it is absent.
int64_t part_int(const GgufPart& part, std::string_view key, int64_t fallback) {
  const GgufValue* value = find_value(part, key);
  if (!value) return fallback;
  int64_t number = 0;
  if (!as_int(*value, number))
    throw InputError("[gguf] {}: key '{}' is not an integer", part.file->path().string(), key);
  return number;
}

int64_t split_count(const GgufPart& part) { return part_int(part, "split.count", 0); }

std::string part_suffix(int64_t number, int64_t count) { return fmt::format("-{:05d}-of-{:05d}.gguf", number, count); }

// The name of part `number` (from 1), where `first` names part 1.
std::filesystem::path part_path(const std::filesystem::path& first, int64_t number, int64_t count) {
  std::string text = first.string();
  const std::string suffix = part_suffix(1, count);
  text.replace(text.size() - suffix.size(), suffix.size(), part_suffix(number, count));
  return text;
}

const char* kind_name(const GgufValue& value) {
  static constexpr const char* kNames[] = {"an integer", "an integer", "an integer", "an integer", "an integer",
                                           "an integer", "a float",    "a bool",     "a string",   "an integer",
                                           "an integer", "a float",    "an array"};
  return kNames[value.index()];
}

}  // namespace

GgufFile::GgufFile() : impl_(std::make_unique<Impl>()) {}
GgufFile::~GgufFile() = default;

std::shared_ptr<const GgufFile> GgufFile::parse(std::shared_ptr<const MappedFile> file) {
  GgufPart part = parse_gguf_part(std::move(file));
  if (split_count(part) > 1)
    throw InputError("[gguf] {}: this is one of {} parts of a split file", part.file->path().string(),
                     split_count(part));
  std::shared_ptr<GgufFile> result(new GgufFile);
  result->impl_->add(std::move(part));
  return result;
}

std::shared_ptr<const GgufFile> GgufFile::open(const std::filesystem::path& path) {
  std::shared_ptr<GgufFile> result(new GgufFile);
  Impl& impl = *result->impl_;
  impl.add(parse_gguf_part(MappedFile::open(path)));
  const int64_t count = split_count(impl.parts.front());
  if (count <= 1) return result;

  const std::string where = impl.where();
  if (count > 99999) throw InputError("{}: split.count is {}", where, count);
  const int64_t number = part_int(impl.parts.front(), "split.no", -1) + 1;
  if (number != 1)
    throw InputError("{}: this is part {} of a split file; name the first part (...{})", where, number,
                     part_suffix(1, count));
  if (!path.string().ends_with(part_suffix(1, count)))
    throw InputError("{}: this is the first part of a split file, so its name must end in '{}'", where,
                     part_suffix(1, count));
  for (int64_t i = 2; i <= count; ++i) {
    const std::filesystem::path next = part_path(path, i, count);
    if (!std::filesystem::exists(next))
      throw InputError("{}: part {} of {} is missing: '{}'", where, i, count, next.string());
    GgufPart part = parse_gguf_part(MappedFile::open(next));
    if (split_count(part) != count || part_int(part, "split.no", -1) != i - 1)
      throw InputError("[gguf] {}: this is not part {} of {} (split.no {}, split.count {})", next.string(), i, count,
                       part_int(part, "split.no", -1), split_count(part));
    impl.add(std::move(part));
  }
  const auto found = static_cast<int64_t>(impl.tensors.size());
  const int64_t expected = part_int(impl.parts.front(), "split.tensors.count", found);
  if (found != expected)
    throw InputError("{}: its {} parts hold {} tensors, but split.tensors.count is {}", where, count, found, expected);
  return result;
}

uint32_t GgufFile::version() const { return impl_->parts.front().version; }
const std::filesystem::path& GgufFile::path() const { return impl_->path(); }

int64_t GgufFile::file_bytes() const {
  int64_t bytes = 0;
  for (const GgufPart& part : impl_->parts) bytes += static_cast<int64_t>(part.file->bytes().size());
  return bytes;
}

const std::vector<std::pair<std::string_view, GgufValue>>& GgufFile::metadata() const {
  return impl_->parts.front().metadata;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = impl_->keys.find(key);
  return found == impl_->keys.end() ? nullptr : &metadata()[found->second].second;
}

const std::vector<GgufTensor>& GgufFile::tensors() const { return impl_->tensors; }

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = impl_->names.find(name);
  return found == impl_->names.end() ? nullptr : &impl_->tensors[found->second];
}

namespace {

[[noreturn]] void throw_missing(const GgufFile& file, std::string_view key) {
  throw InputError("[gguf] {}: key '{}' is missing", file.path().string(), key);
}

[[noreturn]] void throw_kind(const GgufFile& file, std::string_view key, const GgufValue& value, const char* wanted) {
  throw InputError("[gguf] {}: key '{}' is {}, but {} is needed", file.path().string(), key, kind_name(value), wanted);
}

int64_t to_int(const GgufFile& file, std::string_view key, const GgufValue& value) {
  int64_t number = 0;
  if (as_int(value, number)) return number;
  if (std::holds_alternative<uint64_t>(value))
    throw InputError("[gguf] {}: key '{}' is {}, more than 63 bits", file.path().string(), key,
                     std::get<uint64_t>(value));
  throw_kind(file, key, value, "an integer");
}

double to_float(const GgufFile& file, std::string_view key, const GgufValue& value) {
  if (const auto* number = std::get_if<float>(&value)) return *number;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  throw_kind(file, key, value, "a float");
}

std::string_view to_string_view(const GgufFile& file, std::string_view key, const GgufValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
  throw_kind(file, key, value, "a string");
}

}  // namespace

int64_t GgufFile::get_int(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) throw_missing(*this, key);
  return to_int(*this, key, *value);
}
int64_t GgufFile::int_or(std::string_view key, int64_t fallback) const {
  const GgufValue* value = find(key);
  return value ? to_int(*this, key, *value) : fallback;
}

double GgufFile::get_float(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) throw_missing(*this, key);
  return to_float(*this, key, *value);
}
double GgufFile::float_or(std::string_view key, double fallback) const {
  const GgufValue* value = find(key);
  return value ? to_float(*this, key, *value) : fallback;
}

bool GgufFile::bool_or(std::string_view key, bool fallback) const {
  const GgufValue* value = find(key);
  if (!value) return fallback;
  if (const bool* flag = std::get_if<bool>(value)) return *flag;
  throw_kind(*this, key, *value, "a bool");
}

std::string_view GgufFile::get_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) throw_missing(*this, key);
  return to_string_view(*this, key, *value);
}
std::string_view GgufFile::string_or(std::string_view key, std::string_view fallback) const {
  const GgufValue* value = find(key);
  return value ? to_string_view(*this, key, *value) : fallback;
}

const std::vector<std::string_view>& GgufFile::get_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) throw_missing(*this, key);
  if (const auto* array = std::get_if<GgufArray>(value))
    if (const auto* strings = std::get_if<std::vector<std::string_view>>(array)) return *strings;
  throw_kind(*this, key, *value, "an array of strings");
}

std::vector<int64_t> GgufFile::ints_or_empty(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const auto* array = std::get_if<GgufArray>(value);
  if (!array) return {to_int(*this, key, *value)};
  std::vector<int64_t> numbers;
  std::visit(
      [&](const auto& items) {
        using T = typename std::decay_t<decltype(items)>::value_type;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          numbers.reserve(items.size());
          for (T item : items) numbers.push_back(to_int(*this, key, GgufValue(item)));
        } else {
          throw InputError("[gguf] {}: key '{}' is an array, but not one of integers", path().string(), key);
        }
      },
      *array);
  return numbers;
}

std::vector<float> GgufFile::floats_or_empty(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const auto* array = std::get_if<GgufArray>(value);
  if (!array) return {static_cast<float>(to_float(*this, key, *value))};
  if (const auto* floats = std::get_if<std::vector<float>>(array)) return *floats;
  if (const auto* doubles = std::get_if<std::vector<double>>(array)) return {doubles->begin(), doubles->end()};
  throw InputError("[gguf] {}: key '{}' is an array, but not one of floats", path().string(), key);
}

}  // namespace steno
