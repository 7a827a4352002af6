#include "cli/documents.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/utf8.h"

namespace steno {
namespace {

std::string display_name(const std::string& path) { return path == "-" ? "standard input" : path; }

class Descriptor {
 public:
  explicit Descriptor(int fd, bool owned) : fd_(fd), owned_(owned) {}
  ~Descriptor() {
    if (owned_) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
  bool owned_;
};

}  // namespace

std::string read_bytes(const std::string& owner, const std::string& path) {
  const std::string name = display_name(path);
  const bool standard_input = path == "-";
  const int fd = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw InputError("[{}] {}: {}", owner, name, errno == ENOENT ? "no such file" : std::strerror(errno));
  const Descriptor file(fd, !standard_input);

  struct stat status {};
  if (fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode))
    throw InputError("[{}] {}: is a folder; name its files (for example '{}')", owner, name,
                     (std::filesystem::path(path) / "*.txt").string());
  std::string bytes;
  if (S_ISREG(status.st_mode)) bytes.reserve(static_cast<size_t>(status.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count == 0) return bytes;
    if (count > 0) {
      bytes.append(buffer, static_cast<size_t>(count));
    } else if (errno != EINTR) {
      throw InputError("[{}] {}: cannot be read: {}", owner, name, std::strerror(errno));
    }
    if (interrupted()) throw Interrupted("interrupted: read {} bytes of {}", bytes.size(), name);
  }
}

std::string read_text(const std::string& owner, const std::string& path) {
  std::string text = read_bytes(owner, path);
  const std::string name = display_name(path);
  if (text.find_first_not_of(" \t\r\n\v\f") == std::string::npos)
    throw InputError("[{}] {}: is empty; there is nothing to read", owner, name);
  const size_t bad = find_invalid_utf8(text);
  const size_t zero = text.find('\0');
  if (bad != std::string_view::npos || zero != std::string::npos) {
    const size_t at = std::min(bad, zero);
    throw InputError("[{}] {}: is no UTF-8 text: byte 0x{:02x} at offset {}; convert it to UTF-8 text first (iconv)",
                     owner, name, static_cast<unsigned char>(text[at]), at);
  }
  return text;
}

std::vector<std::string> expand_names(const std::string& owner, const std::vector<std::string>& names) {
  std::vector<std::string> expanded;
  if (std::count(names.begin(), names.end(), "-") > 1)
    throw UsageError("[{}] '-' is given twice; standard input can be read once", owner);
  for (const std::string& name : names) {
    if (name.find_first_of("*?[") == std::string::npos || std::filesystem::exists(name)) {
      expanded.push_back(name);
      continue;
    }
    glob_t found{};
    const int status = glob(name.c_str(), GLOB_TILDE, nullptr, &found);
    for (size_t i = 0; i < found.gl_pathc && status == 0; ++i) expanded.emplace_back(found.gl_pathv[i]);
    globfree(&found);
    if (status != 0) throw InputError("[{}] {}: no file matches this pattern", owner, name);
  }
  return expanded;
}

std::vector<Document> read_documents(const std::string& owner, const std::vector<std::string>& names) {
  std::vector<Document> documents;
  for (const std::string& path : expand_names(owner, names))
    documents.push_back({display_name(path), read_text(owner, path)});
  return documents;
}

std::string join_documents(const std::vector<Document>& documents) {
  if (documents.size() == 1) return documents.front().text;
  std::string joined;
  for (const Document& document : documents) {
    if (!joined.empty()) joined += joined.back() == '\n' ? "\n" : "\n\n";
    joined += "File " + document.name + ":\n\n" + document.text;
  }
  return joined;
}

}  // namespace steno
