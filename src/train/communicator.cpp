#include "train/communicator.h"

#include <ATen/ops/full.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace steno {
namespace {

class SingleProcess : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void sum(at::Tensor&) override {}
  void broadcast(at::Tensor&, int) override {}
  void barrier() override {}
};

// The first of the variables that is set to a number.
int from_environment(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    int value = 0;
    if (text && std::from_chars(text, text + std::strlen(text), value).ec == std::errc{}) return value;
  }
  return otherwise;
}

}  // namespace

bool Communicator::any(bool mine) {
  at::Tensor count = at::full({1}, mine ? 1.0f : 0.0f);
  sum(count);
  return count.item<float>() > 0;
}

std::unique_ptr<Communicator> single_process() { return std::make_unique<SingleProcess>(); }

// Open MPI, MPICH and Intel MPI, Slurm. A batch script of Slurm has SLURM_NTASKS too; only srun sets those of a step.
int launched_ranks() { return from_environment({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1); }

int local_rank() { return from_environment({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0); }

}  // namespace steno
