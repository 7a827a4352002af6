#include "io/safetensors.h"

#include <cstring>
#include <set>

#include "base/error.h"
#include "io/safetensors_parse.h"
#include "io/shown.h"

namespace steno {

struct SafetensorsFile::Impl {
  std::filesystem::path path;
  std::vector<SafetensorsEntry> entries;                    // by name
  std::vector<std::shared_ptr<const MappedFile>> mappings;  // of entries, same order
  std::map<std::string, std::string> metadata;

  // Index of the entry, or entries.size().
  size_t find(std::string_view name) const {
    const auto at = std::lower_bound(entries.begin(), entries.end(), name,
                                     [](const SafetensorsEntry& entry, std::string_view n) { return entry.name < n; });
    return at != entries.end() && at->name == name ? at - entries.begin() : entries.size();
  }
};

SafetensorsFile::SafetensorsFile() : impl_(std::make_unique<Impl>()) {}
SafetensorsFile::~SafetensorsFile() = default;

std::shared_ptr<const SafetensorsFile> SafetensorsFile::parse(std::shared_ptr<const MappedFile> file) {
  SafetensorsPart part = parse_safetensors_part(std::move(file));
  std::shared_ptr<SafetensorsFile> result(new SafetensorsFile);
  Impl& impl = *result->impl_;
  impl.path = part.file->path();
  impl.entries = std::move(part.entries);
  impl.mappings.assign(impl.entries.size(), part.file);
  impl.metadata = std::move(part.metadata);
  return result;
}

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  if (path.extension() != ".json") return parse(MappedFile::open(path));

  const std::string where = "[safetensors] " + path.string();
  const auto text = MappedFile::open(path);
  const auto files =
      parse_safetensors_index({reinterpret_cast<const char*>(text->bytes().data()), text->bytes().size()}, where);
  std::set<std::string> shard_names;
  for (const auto& [name, file] : files) shard_names.insert(file);

  std::map<std::string, std::pair<SafetensorsEntry, std::shared_ptr<const MappedFile>>> found;
  std::shared_ptr<SafetensorsFile> result(new SafetensorsFile);
  Impl& impl = *result->impl_;
  impl.path = path;
  for (const std::string& shard_name : shard_names) {
    const std::filesystem::path shard_path = path.parent_path() / shard_name;
    if (!std::filesystem::exists(shard_path))
      throw InputError("{}: its shard '{}' is missing", where, shown(shard_path.string()));
    SafetensorsPart part = parse_safetensors_part(MappedFile::open(shard_path));
    for (SafetensorsEntry& entry : part.entries) {
      const auto listed = files.find(entry.name);
      if (listed == files.end() || listed->second != shard_name)
        throw InputError("{}: tensor '{}' is in '{}', but the index does not say so", where, shown(entry.name),
                         shown(shard_name));
      std::string name = entry.name;
      found.emplace(std::move(name), std::pair(std::move(entry), part.file));
    }
    impl.metadata.merge(part.metadata);
  }
  for (const auto& [name, file] : files)
    if (!found.count(name)) throw InputError("{}: tensor '{}' is not in '{}'", where, shown(name), shown(file));
  for (auto& [name, entry] : found) {
    impl.entries.push_back(std::move(entry.first));
    impl.mappings.push_back(std::move(entry.second));
  }
  return result;
}

const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const { return impl_->entries; }
const std::map<std::string, std::string>& SafetensorsFile::metadata() const { return impl_->metadata; }
const std::filesystem::path& SafetensorsFile::path() const { return impl_->path; }
bool SafetensorsFile::has(std::string_view name) const { return impl_->find(name) < impl_->entries.size(); }

at::Tensor SafetensorsFile::tensor(std::string_view name) const {
  const size_t index = impl_->find(name);
  if (index == impl_->entries.size())
    throw InputError("[safetensors] {}: there is no tensor '{}'", path().string(), shown(name));
  const SafetensorsEntry& entry = impl_->entries[index];
  if (entry.data.empty()) return at::empty(entry.shape, entry.dtype);
  if (entry.dtype == at::kBool)
    for (std::byte byte : entry.data)
      if (byte > std::byte{1})
        throw InputError("[safetensors] {}: tensor '{}': a BOOL that is neither 0 nor 1", path().string(), shown(name));

  void* data = const_cast<std::byte*>(entry.data.data());
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.dtype) != 0) {
    at::Tensor copy = at::empty(entry.shape, entry.dtype);
    std::memcpy(copy.data_ptr(), data, entry.data.size());
    return copy;
  }
  auto release = [mapping = impl_->mappings[index]](void*) {};
  return at::from_blob(data, entry.shape, std::move(release), at::TensorOptions().dtype(entry.dtype));
}

}  // namespace steno
