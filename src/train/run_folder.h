// The folder of a training run:
//   metrics.jsonl, samples.jsonl   lines by step (json_lines.h)
//   checkpoints/                   what --resume goes on from (checkpoints.h)
//   adapter/                       what was learned, once the run has ended
//   best/                          the same at the smallest loss on held-out data
#pragma once
#include <filesystem>

namespace steno {

// Holds the folder's lock: no two processes train into one. Rank 0 only.
class RunFolder {
 public:
  // Creates the folder where it is missing, and removes half-written files that a killed process left in it. Throws
  // UsageError when it is not empty and `resume` is false, ResourceError when another process trains in it, InputError
  // when it cannot be a folder.
  RunFolder(std::filesystem::path folder, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace steno
