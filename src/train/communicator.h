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
  // Sum over ranks, in place; contiguous, any device. The result is bit-equal on all ranks.
  virtual void sum(at::Tensor& values) = 0;
  virtual void broadcast(at::Tensor& values, int root) = 0;
  virtual void barrier() = 0;
  // True on every rank when it is true on any.
  bool any(bool mine);
};

// One process.
std::unique_ptr<Communicator> single_process();
// MPI where the program was launched by mpirun or srun and steno was built with it, else single_process(). Throws
// UsageError when a launcher's environment is there and steno was built without MPI.
std::unique_ptr<Communicator> open_communicator(at::Device device);

}  // namespace steno
