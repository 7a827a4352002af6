#include "train/communicator.h"

#include <ATen/ops/full.h>

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

}  // namespace

bool Communicator::any(bool mine) {
  at::Tensor count = at::full({1}, mine ? 1.0f : 0.0f);
  sum(count);
  return count.item<float>() > 0;
}

std::unique_ptr<Communicator> single_process() { return std::make_unique<SingleProcess>(); }

}  // namespace steno
