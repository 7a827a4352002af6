// The threads of a decoding step, and its products. Included by step.cpp alone.
#pragma once
#include <ATen/Parallel.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/kernels.h"
#include "model/kernels_int8.h"
#include "model/linear.h"

namespace steno {

// Where the threads of a team wait for each other, hundreds of times a token. OpenMP's barrier spins for milliseconds,
// which starves a peer that waits for this core, or sleeps soon (thread_waits.h), and waking costs more than the step's
// parts take. Here a thread tries for a tenth of a millisecond or so and then sleeps.
class Meeting {
 public:
  void meet(int64_t threads) {
    const uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    for (int tries = 0; tries < kTries; ++tries) {
      if (round_.load(std::memory_order_acquire) != round) return;
      rest();
    }
    round_.wait(round, std::memory_order_acquire);
  }

 private:
  static constexpr int kTries = 3000;
  static void rest() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  alignas(64) std::atomic<int64_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};  // as wide as a futex: the wait is one system call
};

// The threads of the one parallel region. Every thread makes the same calls in the same order.
struct Team {
  int64_t thread = 0, threads = 1;
  Meeting* meeting = nullptr;
  void meet() const {
    if (threads > 1) meeting->meet(threads);
  }
  // This thread's part of [0, count), cut at multiples of `unit`.
  std::pair<int64_t, int64_t> share(int64_t count, int64_t unit = 1) const {
    const int64_t units = (count + unit - 1) / unit;
    return {std::min(count, units * thread / threads * unit), std::min(count, units * (thread + 1) / threads * unit)};
  }
};

template <class F>
void with_team(F&& work) {
#ifdef _OPENMP
  const int threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  Meeting meeting;
#pragma omp parallel num_threads(threads)
  work(Team{omp_get_thread_num(), omp_get_num_threads(), &meeting});
#else
  work(Team{});
#endif
}

struct Product {
  const LinearWeight* weight;
  WeightBlocks blocks;
  const float* bias;  // [out] f32 or nullptr
};

// The inputs of a product in the form that its kernel wants. Shared by the team, which prepares
// every row once, or a thread's own.
class Activations {
 public:
  Activations(int64_t rows, int64_t in) : rows_(rows), in_(in) {
    rounded_.rows = rows, rounded_.in = in;
    const auto blocks = static_cast<size_t>(rows * in / 32);
    values_.resize(static_cast<size_t>(rows * in));
    rounded_.values.resize(static_cast<size_t>(rows * in));
    rounded_.scales.resize(blocks);
    rounded_.sums.resize(blocks);
    sums_.resize(blocks);
  }
  float* row(int64_t r) { return values_.data() + r * in_; }
  void prepare(int64_t r, bool rounds) {
    if (rounds)
      kernels::round_row_to_int8(row(r), r, rounded_);
    else
      kernels::block_sums(row(r), 1, in_, sums_.data() + r * (in_ / 32));
  }
  // y[r * stride + o - begin] for outputs [begin, end).
  void multiply(const Product& product, bool rounds, int64_t begin, int64_t end, float* y, int64_t stride) const {
    if (begin >= end) return;
    if (rounds)
      kernels::multiply_int8(product.blocks.type, product.blocks.data, begin, end, rounded_, y, stride);
    else
      kernels::multiply_blocks(product.blocks.type, product.blocks.data, in_, begin, end, values_.data(), sums_.data(),
                               rows_, y, stride);
    if (!product.bias) return;
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t o = begin; o < end; ++o) y[r * stride + o - begin] += product.bias[o];
  }

 private:
  int64_t rows_ = 0, in_ = 0;
  std::vector<float> values_, sums_;
  kernels::Int8Rows rounded_;
};

}  // namespace steno
