// DIR/checkpoints/step-00000123.safetensors: parameters, moments, state and what they belong to, each written whole or
// not at all and guarded by a checksum.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "io/json.h"
#include "train/run_state.h"

namespace steno {

// What a run is.
struct RunIdentity {
  FieldValues config;  // TrainConfig's fields; those of may_change_on_resume() are not compared
  Json setup;          // what is trained, on what: must be the same on resume
  Json environment;    // versions, ranks, threads: a resumed run that differs is equal to rounding only, and says so
};

class Checkpoints {
 public:
  // `tensors` are saved and restored under their names; they are shared, not copied.
  Checkpoints(std::filesystem::path folder, RunIdentity identity,
              std::vector<std::pair<std::string, at::Tensor>> tensors);

  // Throws ResourceError; what was there before stays.
  std::filesystem::path save(const RunState& state) const;
  // Copies the newest checkpoint that is whole into the tensors. Damaged ones are named in a warning and the one before
  // is taken. Nothing where there is none at all. Throws UsageError when it belongs to another configuration (the field
  // is named), InputError when all are damaged.
  std::optional<RunState> restore_newest() const;
  // Removes all but the newest `keep` and that of step `best`.
  void prune(int64_t keep, int64_t best) const;
  // Steps that there are checkpoints of, ascending.
  std::vector<int64_t> steps() const;
  std::filesystem::path path_of(int64_t step) const;

 private:
  RunState restore(const std::filesystem::path& path) const;

  std::filesystem::path folder_;
  RunIdentity identity_;
  std::vector<std::pair<std::string, at::Tensor>> tensors_;
};

}  // namespace steno
