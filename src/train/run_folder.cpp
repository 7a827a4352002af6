#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"

namespace steno {

namespace fs = std::filesystem;
namespace {

// Temporary files of io/atomic_file.h. Nobody writes any: the caller holds the run's lock.
void remove_leftovers(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;  // one that stays is no harm
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(".tmp") && entry.is_regular_file()) found.push_back(entry.path());
  }
  for (const fs::path& path : found) fs::remove(path, ignored);
}

}  // namespace

RunFolder::RunFolder(fs::path folder, bool resume) : path_(std::move(folder)) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error || !fs::is_directory(path_))
    throw InputError("[train] {}: cannot be made a folder{}", path_.string(),
                     error ? " (" + error.message() + ")" : "; a file has that name");
  fd_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) throw InputError("[train] {}: cannot be opened ({})", path_.string(), std::strerror(errno));
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    close(fd_);
    throw ResourceError("[train] {}: another process trains in this folder; try again when it is done", path_.string());
  }
  if (!resume && !fs::is_empty(path_)) {
    close(fd_);
    throw UsageError("[train] {} is not empty; go on with what is in it by --resume, or name another folder with --out",
                     path_.string());
  }
  if (resume) remove_leftovers(path_);
}

RunFolder::~RunFolder() { close(fd_); }

}  // namespace steno
