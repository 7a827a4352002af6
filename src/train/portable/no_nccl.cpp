#include "train/device_sum.h"

namespace steno {

std::unique_ptr<DeviceSum> open_device_sum(int, int, at::Device, const std::function<void(void*, size_t)>&) {
  return nullptr;
}

}  // namespace steno
