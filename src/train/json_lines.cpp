#include "train/json_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace steno {

JsonLines::~JsonLines() {
  if (fd_ >= 0) ::close(fd_);
}

void JsonLines::cut_after(int64_t step) {
  if (std::filesystem::exists(path_)) {
    const auto file = MappedFile::open(path_);
    const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
    std::string kept;
    for (size_t at = 0, number = 1; at < text.size(); ++number) {
      const size_t end = text.find('\n', at);
      if (end == std::string_view::npos) break;
      const std::string_view line = text.substr(at, end - at + 1);
      at = end + 1;
      const Json json = Json::parse(line, nullptr, false);
      if (json.is_discarded() && at == text.size()) break;  // a crash of the machine can leave such a last line
      if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer())
        throw InputError("[train] {}:{}: is no line of a training run; take another --out", path_.string(), number);
      if (json["step"].get<int64_t>() <= step) kept += line;
    }
    if (kept.size() != text.size()) {
      AtomicFile shorter(path_);
      shorter.write(kept);
      shorter.commit();
    }
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) throw InputError("[train] {}: cannot be written ({})", path_.string(), std::strerror(errno));
}

void JsonLines::append(const Json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  struct stat before {};
  if (fstat(fd_, &before) != 0) fail("looking at it");
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n >= 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    const int error = errno;
    [[maybe_unused]] const int cut = ftruncate(fd_, before.st_size);  // the cause is what counts
    errno = error;
    fail("writing");
  }
}

void JsonLines::flush() {
  if (fd_ >= 0 && fsync(fd_) != 0 && errno != EINVAL) fail("writing");  // EINVAL: no file of a disk
}

void JsonLines::fail(const char* action) const {
  throw ResourceError("[train] {}: {} failed ({})", path_.string(), action, std::strerror(errno));
}

void MetricsFile::scalars(int64_t step, const Scalars& values) {
  Json line = {{"step", step}};
  for (const auto& [name, value] : values) line[name] = value;
  lines_.append(line);
}

void SamplesFile::text(int64_t step, const std::string& name, const std::string& text) {
  lines_.append({{"step", step}, {"name", name}, {"text", text}});
}

void SamplesFile::sample(int64_t step, int64_t index, const TrainingSample& sample) {
  lines_.append({{"step", step}, {"sample", index}, {"source", sample.source}, {"output", sample.output}});
}

}  // namespace steno
