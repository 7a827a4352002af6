// Sums over ranks that stay on the devices.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace steno {

class DeviceSum {
 public:
  virtual ~DeviceSum() = default;
  // Collective, in place; contiguous, on the device it was opened for. Bit-equal on all ranks. Throws ResourceError.
  virtual void sum(at::Tensor& values) = 0;
};

// NCCL; nothing where steno was built without it, and for the CPU. Collective. `broadcast` sends bytes from rank 0 to
// all. Two ranks cannot share a device.
std::unique_ptr<DeviceSum> open_device_sum(int rank, int size, at::Device device,
                                           const std::function<void(void*, size_t)>& broadcast);

}  // namespace steno
