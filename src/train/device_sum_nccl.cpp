#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/cuda/nccl.h>

#include <exception>

#include "base/error.h"
#include "train/device_sum.h"

namespace steno {
namespace {

namespace nccl = torch::cuda::nccl;

// c10::DeviceGuard, not c10::cuda::CUDAGuard, whose inline functions would want the CUDA runtime library.
class NcclSum : public DeviceSum {
 public:
  NcclSum(int rank, int size, at::Device device, const nccl::ncclUniqueId& id) : device_(device) {
    const c10::DeviceGuard on(device_);
    communicator_ = nccl::comm_init_rank(size, id, rank);
  }
  ~NcclSum() override {
    // After an error the other ranks may never come, and destroying would wait for them.
    if (std::uncaught_exceptions() == 0) nccl::comm_destroy(communicator_);
  }

  void sum(at::Tensor& values) override try {
    const c10::DeviceGuard on(device_);
    std::vector<at::Tensor> outputs = {values};
    nccl::all_reduce({values}, outputs, /*op=sum*/ 0, {}, {communicator_});
  } catch (const c10::Error& error) {
    throw ResourceError("[ranks] NCCL failed on {}: {}", device_.str(), error.what_without_backtrace());
  }

 private:
  at::Device device_;
  nccl::ncclComm_t communicator_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceSum> open_device_sum(int rank, int size, at::Device device,
                                           const std::function<void(void*, size_t)>& broadcast) {
  if (!device.is_cuda()) return nullptr;
  if (!device.has_index()) device.set_index(c10::impl::VirtualGuardImpl(device.type()).getDevice().index());
  try {
    nccl::ncclUniqueId id;
    if (rank == 0) nccl::get_unique_id(id);
    broadcast(&id, sizeof id);
    return std::make_unique<NcclSum>(rank, size, device, id);
  } catch (const c10::Error& error) {
    throw ResourceError("[ranks] rank {}: NCCL cannot be set up on {}: {}", rank, device.str(),
                        error.what_without_backtrace());
  }
}

}  // namespace steno
