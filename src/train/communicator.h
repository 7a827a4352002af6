// Ranks of a data-parallel run. Only trainables travel.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

namespace steno {

// Calls are collective: every rank makes the same calls in the same order. Not thread-safe.
// Throws ResourceError when a rank or the network fails.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Sum over ranks, in place; contiguous, any device; f32, f64, int32 or int64. The result is bit-equal on all ranks.
  virtual void sum(at::Tensor& values) = 0;
  // Contiguous, any device and type.
  virtual void broadcast(at::Tensor& values, int root) = 0;
  virtual void barrier() = 0;
  // True on every rank when it is true on any.
  bool any(bool mine);
};

// One process.
std::unique_ptr<Communicator> single_process();
// MPI where the program was launched by mpirun or srun as one of several processes and steno was built with it, else
// single_process(); MPI is not touched before. Tensors of the CPU travel by MPI. Sums of CUDA tensors go by NCCL where
// it was there when steno was built (src/train/device_sum.h), else through the CPU, as broadcasts always do. Throws
// UsageError when a launcher's environment is there and steno was built without MPI. `device`: where the tensors will
// be. At most one at a time, on the main thread.
std::unique_ptr<Communicator> open_communicator(at::Device device);

// To be called last, with the status that the process will exit with: the end of MPI where open_communicator began it,
// otherwise nothing. When this rank fails and the others do not end within ten seconds, as they wait for it in a
// collective call, all are stopped, with a line on standard error that names the rank.
void close_ranks(int status);

bool built_with_mpi();

// From the launcher's environment: processes of the run (1 without a launcher), and which one of those on this machine
// this is (0), to choose a device by.
int launched_ranks();
int local_rank();

}  // namespace steno
