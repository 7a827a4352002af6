#include "eval/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "io/shown.h"

namespace steno {
namespace {

std::string short_text(const Json& value) { return shown(json_line(value)); }

std::string difference(const Json& there, const Json& now, const std::string& path) {
  const auto at = [&](const std::string& name) { return path.empty() ? name : path + "." + name; };
  if (there.is_object() && now.is_object()) {
    for (const auto& [name, value] : there.items()) {
      if (path.empty() && name == "created") continue;
      if (!now.contains(name)) return fmt::format("{}: {} there, none now", at(name), short_text(value));
      if (const auto found = difference(value, now[name], at(name)); !found.empty()) return found;
    }
    for (const auto& [name, value] : now.items())
      if (!there.contains(name)) return fmt::format("{}: none there, {} now", at(name), short_text(value));
    return "";
  }
  if (there.is_array() && now.is_array() && there.size() == now.size()) {
    for (size_t i = 0; i < there.size(); ++i)
      if (const auto found = difference(there[i], now[i], fmt::format("{}[{}]", path, i)); !found.empty()) return found;
    return "";
  }
  if (there.is_array() && now.is_array())
    return fmt::format("{}: {} entries there, {} now", path, there.size(), now.size());
  if (there == now) return "";
  return fmt::format("{}: {} there, {} now", path, short_text(there), short_text(now));
}

Json read_object(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw InputError("[eval] {}: is no JSON object; take another folder", path.string());
  return json;
}

void write_whole(const std::filesystem::path& path, const Json& json) {
  AtomicFile file(path);
  file.write(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  file.commit();
}

}  // namespace

std::string json_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string settings_difference(const Json& there, const Json& now) { return difference(there, now, ""); }

RunDirectory::RunDirectory(std::filesystem::path folder, const Json& run, const std::vector<std::string>& items)
    : folder_(std::move(folder)), items_(items) {
  const std::set<std::string> unique(items_.begin(), items_.end());
  TORCH_CHECK(unique.size() == items_.size(), "two items have the same id");
  if (folder_.empty()) return;
  try {
    open_run(run);
    open_items(run);
  } catch (...) {
    if (fd_ >= 0) ::close(fd_);
    throw;
  }
}

RunDirectory::~RunDirectory() {
  if (fd_ >= 0) ::close(fd_);
}

void RunDirectory::open_run(const Json& run) const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error || !std::filesystem::is_directory(folder_))
    throw InputError("[eval] {}: cannot be made a folder{}", folder_.string(),
                     error ? " (" + error.message() + ")" : "; a file has that name");
  const auto path = folder_ / "run.json";
  if (std::filesystem::exists(path)) {
    // Through text, as the old one: numbers may have another type before they are written.
    const auto found = settings_difference(read_object(path), Json::parse(json_line(run)));
    if (!found.empty())
      throw UsageError("[eval] {} holds a run of other settings ({}); name another folder with --out", folder_.string(),
                       found);
    return;
  }
  if (std::filesystem::exists(folder_ / "items.jsonl"))
    throw InputError("[eval] {}: holds items.jsonl without the run.json it belongs to; name another folder with --out",
                     folder_.string());
  write_whole(path, run);
}

void RunDirectory::open_items(const Json& run) {
  const auto path = folder_ / "items.jsonl";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) throw InputError("[eval] {}: cannot be written ({})", path.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0)
    throw ResourceError("[eval] {}: another process is writing this run; try again when it is done", folder_.string());

  std::set<std::string> arms;
  for (const Json& arm : run.at("arms")) arms.insert(arm.at("id").get<std::string>());
  const std::set<std::string> items(items_.begin(), items_.end());
  size_t good = 0;  // bytes
  {
    const auto file = MappedFile::open(path);
    const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
    for (int64_t number = 1; good < text.size(); ++number) {
      const size_t end = text.find('\n', good);
      if (end == std::string_view::npos) break;  // half a line
      Json line = Json::parse(text.substr(good, end - good), nullptr, false);
      if (line.is_discarded() && end + 1 == text.size()) break;  // a crash of the machine can leave such a last line
      const auto text_of = [&](const char* name) {
        return line.is_object() && line.contains(name) && line[name].is_string() ? line[name].get<std::string>() : "";
      };
      const std::string arm = text_of("arm"), item = text_of("item");
      if (!arms.contains(arm) || !items.contains(item))
        throw InputError("[eval] {}:{}: is no line of this run; name another folder with --out", path.string(), number);
      if (!lines_.emplace(std::pair(arm, item), std::move(line)).second)
        throw InputError("[eval] {}:{}: {}, {} stands in an earlier line already; name another folder with --out",
                         path.string(), number, arm, shown(item));
      good = end + 1;
    }
    torn_ = good < text.size();
  }
  if (torn_ && ::ftruncate(fd_, static_cast<off_t>(good)) != 0)
    throw ResourceError("[eval] {}: cutting off a half-written line failed ({})", path.string(), std::strerror(errno));
  found_ = lines_.size();
}

void RunDirectory::append(Json line) {
  const std::string text = json_line(line) + "\n";
  std::pair key(line.at("arm").get<std::string>(), line.at("item").get<std::string>());
  TORCH_CHECK(!lines_.contains(key), "an item was done twice");
  if (fd_ >= 0) {
    const auto fail = [&] {
      throw ResourceError("[eval] {}: writing failed ({}); what was done before is kept",
                          (folder_ / "items.jsonl").string(), std::strerror(errno));
    };
    for (size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      done += static_cast<size_t>(n);
    }
    if (::fsync(fd_) != 0 && errno != EINVAL) fail();  // EINVAL: no file of a disk
  }
  // As it will be read back, so that a summary does not depend on whether a run was resumed.
  lines_.emplace(std::move(key), Json::parse(text));
}

std::vector<const Json*> RunDirectory::lines(const std::string& arm) const {
  std::vector<const Json*> lines;
  for (const std::string& item : items_)
    if (const auto found = lines_.find({arm, item}); found != lines_.end()) lines.push_back(&found->second);
  return lines;
}

void RunDirectory::write_summary(const Json& summary) const {
  if (!folder_.empty()) write_whole(folder_ / "summary.json", summary);
}

}  // namespace steno
