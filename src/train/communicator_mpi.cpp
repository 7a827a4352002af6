#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "train/communicator.h"
#include "train/device_sum.h"

namespace steno {
namespace {

constexpr int64_t kMost = 1 << 28;  // numbers in one call; MPI counts are of type int
constexpr double kPatience = 10;    // seconds for the other ranks to end too

// MPI belongs to the process, so this does. `farewell` is apart from the communicator that collective calls use: ranks
// may meet there whatever the others are waiting for.
struct Mpi {
  bool open = false;
  MPI_Comm farewell = MPI_COMM_NULL;
  int rank = 0, size = 1;
};
Mpi g_mpi;

void check(int result, const char* what) {
  if (result == MPI_SUCCESS) return;
  char reason[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(result, reason, &length);
  throw ResourceError("[ranks] rank {} of {}: {} failed ({}); start the run again with --resume", g_mpi.rank,
                      g_mpi.size, what, std::string(reason, static_cast<size_t>(length)));
}

MPI_Datatype mpi_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    default:
      TORCH_CHECK(false, "sums of ", type, " over ranks are not supported");
  }
}

// Calls work(bytes, count) for parts of `count` elements of `size` bytes.
template <class F>
void in_parts(void* data, int64_t count, int64_t size, F&& work) {
  for (int64_t done = 0; done < count; done += kMost)
    work(static_cast<char*>(data) + done * size, static_cast<int>(std::min(kMost, count - done)));
}

class MpiRanks : public Communicator {
 public:
  explicit MpiRanks(at::Device device)
      : device_sum_(open_device_sum(rank(), size(), device, [](void* data, size_t bytes) {
          check(MPI_Bcast(data, static_cast<int>(bytes), MPI_BYTE, 0, MPI_COMM_WORLD), "broadcasting");
        })) {}

  int rank() const override { return g_mpi.rank; }
  int size() const override { return g_mpi.size; }

  void sum(at::Tensor& values) override {
    if (device_sum_ && values.is_cuda()) return device_sum_->sum(values);
    through_cpu(values, [](at::Tensor& on_cpu) {
      const MPI_Datatype type = mpi_type(on_cpu.scalar_type());
      in_parts(on_cpu.mutable_data_ptr(), on_cpu.numel(), on_cpu.element_size(), [&](void* data, int count) {
        // One rank adds and tells the others: MPI_Allreduce need not give all ranks the same bits.
        const bool first = g_mpi.rank == 0;
        check(MPI_Reduce(first ? MPI_IN_PLACE : data, first ? data : nullptr, count, type, MPI_SUM, 0, MPI_COMM_WORLD),
              "adding up");
        check(MPI_Bcast(data, count, type, 0, MPI_COMM_WORLD), "broadcasting");
      });
    });
  }

  void broadcast(at::Tensor& values, int root) override {
    through_cpu(values, [root](at::Tensor& on_cpu) {
      in_parts(on_cpu.mutable_data_ptr(), static_cast<int64_t>(on_cpu.nbytes()), 1, [root](void* data, int count) {
        check(MPI_Bcast(data, count, MPI_BYTE, root, MPI_COMM_WORLD), "broadcasting");
      });
    });
  }

  void barrier() override { check(MPI_Barrier(MPI_COMM_WORLD), "waiting for the other ranks"); }

 private:
  template <class F>
  static void through_cpu(at::Tensor& values, F&& work) {
    TORCH_CHECK(values.is_contiguous(), "tensors that travel are contiguous");
    const at::NoGradGuard no_grad;
    at::Tensor on_cpu = values.detach().cpu();  // itself where it is there already
    work(on_cpu);
    if (!values.is_cpu()) values.detach().copy_(on_cpu);
  }

  std::unique_ptr<DeviceSum> device_sum_;
};

void start_mpi() {
  int threads = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &threads);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &g_mpi.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &g_mpi.size);
  check(MPI_Comm_dup(MPI_COMM_WORLD, &g_mpi.farewell), "setting up the ranks");
  MPI_Comm_set_errhandler(g_mpi.farewell, MPI_ERRORS_RETURN);
  g_mpi.open = true;
  // For programs that do not call close_ranks: who comes here without it was not expected to end.
  std::atexit([] { close_ranks(static_cast<int>(ExitCode::internal)); });
}

// True when every rank has come to its end.
bool all_end(bool failed) {
  MPI_Request request;
  if (MPI_Ibarrier(g_mpi.farewell, &request) != MPI_SUCCESS) return false;
  const Stopwatch waiting;
  for (;;) {
    int done = 0;
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (done) return true;
    if (failed && waiting.seconds() > kPatience) return false;
    usleep(1000);
  }
}

}  // namespace

std::unique_ptr<Communicator> open_communicator(at::Device device) {
  if (launched_ranks() <= 1) return single_process();
  if (!g_mpi.open) start_mpi();
  if (g_mpi.size != launched_ranks())
    throw UsageError(
        "[ranks] the launcher started {} processes, but MPI sees {}; launch with the mpirun (or srun --mpi=...) of the "
        "MPI that steno was built with",
        launched_ranks(), g_mpi.size);
  return std::make_unique<MpiRanks>(device);
}

bool built_with_mpi() { return true; }

void close_ranks(int status) {
  if (!std::exchange(g_mpi.open, false)) return;
  if (all_end(status != 0)) {
    MPI_Finalize();
    return;
  }
  std::fprintf(
      stderr,
      "steno: error: [ranks] rank %d of %d failed and ends the run; start it again with --resume to go on from "
      "the newest checkpoint\n",
      g_mpi.rank, g_mpi.size);
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, status);
}

}  // namespace steno
