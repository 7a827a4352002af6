#include "base/error.h"
#include "train/communicator.h"

namespace steno {

std::unique_ptr<Communicator> open_communicator(at::Device) {
  if (const int ranks = launched_ranks(); ranks > 1)
    throw UsageError(
        "[ranks] started as one of {} processes, but steno was built without MPI; install Open MPI (Debian: "
        "libopenmpi-dev), build with -DSTENO_MPI=ON, or start it once without the launcher",
        ranks);
  return single_process();
}

void close_ranks(int) {}

bool built_with_mpi() { return false; }

}  // namespace steno
