#include "model/attention_blocks.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <limits>

#include "model/kernels_bf16.h"

namespace steno {
namespace {

using kernels::kKeyBlock;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Scores of one query block in f32: half of a common second-level cache.
constexpr int64_t kScoreBytes = 1 << 20;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

const at::BFloat16* bf16(const uint16_t* p) { return reinterpret_cast<const at::BFloat16*>(p); }
uint16_t* bits(const at::Tensor& t) { return static_cast<uint16_t*>(t.mutable_data_ptr()); }

struct Shape {
  int64_t batch, heads, kv_heads, group, steps, rows, d;
  int64_t padded;   // rows in whole key blocks
  int64_t queries;  // of one task
};

Shape shape_of(const AttentionInput& in) {
  Shape s{};
  s.batch = in.q.size(0), s.heads = in.q.size(1), s.steps = in.q.size(2), s.d = in.q.size(3);
  s.kv_heads = in.k.size(1), s.rows = in.k.size(2), s.group = s.heads / s.kv_heads;
  s.padded = round_up(s.rows, kKeyBlock);
  // A task's matrix has group * queries rows: enough of them to use keys often, few enough to stay in the cache.
  const int64_t most = std::max<int64_t>(16, kScoreBytes / 4 / s.padded);
  s.queries = 64;
  while (s.queries > 4 && s.queries * s.group > most) s.queries /= 2;
  while (s.queries / 2 >= s.steps && s.queries > 4) s.queries /= 2;
  return s;
}

struct Packed {
  at::Tensor k, v;  // [B, H_kv, padded, d] in the layouts of kernels_bf16.h
};

Packed pack(const AttentionInput& in, const Shape& s) {
  Packed packed{at::empty({s.batch, s.kv_heads, s.padded, s.d}, at::kBFloat16),
                at::empty({s.batch, s.kv_heads, s.padded, s.d}, at::kBFloat16)};
  const int64_t blocks = s.padded / kKeyBlock;
  const auto* k = static_cast<const uint16_t*>(in.k.const_data_ptr());
  const auto* v = static_cast<const uint16_t*>(in.v.const_data_ptr());
  at::parallel_for(0, s.batch * s.kv_heads * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / blocks, block = i % blocks;
      const int64_t from = head / s.kv_heads * in.k.stride(0) + head % s.kv_heads * in.k.stride(1);
      const int64_t to = head * s.padded * s.d + block * kKeyBlock * s.d;
      kernels::pack_keys(k + from, in.k.stride(2), s.rows, s.d, block, bits(packed.k) + to);
      kernels::pack_values(v + from, in.k.stride(2), s.rows, s.d, block, bits(packed.v) + to);
    }
  });
  return packed;
}

// The buffers of one thread.
struct Scratch {
  explicit Scratch(const Shape& s)
      : q(static_cast<size_t>(s.group * s.queries * s.d)),
        scores(static_cast<size_t>(s.group * s.queries * s.padded)),
        front(static_cast<size_t>(s.group * s.queries * kKeyBlock)),
        out(static_cast<size_t>(s.group * s.queries * s.d)) {}
  std::vector<uint16_t> q;
  std::vector<float> scores, front, out;
};

class Task {
 public:
  Task(const AttentionInput& in, const Shape& s, const Packed& packed, Scratch& scratch, int64_t index)
      : in_(in), s_(s), scratch_(scratch), matrix_rows_(s.group * s.queries) {
    const int64_t blocks = (s.steps + s.queries - 1) / s.queries;
    b_ = index / (s.kv_heads * blocks), h_ = index / blocks % s.kv_heads, first_ = index % blocks * s.queries;
    count_ = std::min(s.queries, s.steps - first_);
    const int64_t at = (b_ * s.kv_heads + h_) * s.padded * s.d;
    k_ = bits(packed.k) + at, v_ = bits(packed.v) + at;
    if (in.allowed.defined()) {
      const int64_t planes = in.allowed.size(1);
      allowed_ = reinterpret_cast<const uint8_t*>(in.allowed.const_data_ptr<bool>()) +
                 ((in.allowed.size(0) == 1 ? 0 : b_) * planes + h_ % planes) * s.steps * s.rows;
    }
    find_columns();
  }

  // result [B, T, H * d]; mass and peak [group, padded] of this task, nullptr where not asked for.
  void run(at::Tensor& result, float* mass, float* peak) {
    score();
    uint16_t* out = bits(result);
    const int64_t width = end_ - begin_, stride = s_.padded;
    std::vector<float> share(static_cast<size_t>(matrix_rows_), 0.0f);
    for (int64_t g = 0; g < s_.group; ++g) {
      for (int64_t t = 0; t < s_.queries; ++t) {
        const int64_t row = g * s_.queries + t;
        float* scores = scratch_.scores.data() + row * stride;
        auto* p = reinterpret_cast<uint16_t*>(scores);
        if (t >= count_) {  // padding rows of the matrix
          std::fill_n(p, width, uint16_t{0});
          continue;
        }
        const int64_t visible = hide(first_ + t, scores);
        const float total = kernels::soften_row(scores, width, static_cast<float>(in_.scale), p);
        const float each = total > 0 ? 1 / total : 0;
        share[static_cast<size_t>(row)] = each;
        if (mass) kernels::add_shares(p, width, each, mass + g * stride + begin_);
        if (peak) kernels::raise_peaks(p, width, each * static_cast<float>(visible), peak + g * stride + begin_);
      }
    }
    const auto* p = reinterpret_cast<const uint16_t*>(scratch_.scores.data());
    for (int64_t j = 0; j < width; j += kKeyBlock)
      at::native::cpublas::brgemm(matrix_rows_, s_.d, kKeyBlock, 2 * stride, s_.d, s_.d, j > 0, bf16(p + j),
                                  bf16(v_ + (begin_ + j) * s_.d), scratch_.out.data());
    for (int64_t g = 0; g < s_.group; ++g) {
      for (int64_t t = 0; t < count_; ++t) {
        const int64_t row = g * s_.queries + t;
        at::BFloat16* to =
            reinterpret_cast<at::BFloat16*>(out) + ((b_ * s_.steps + first_ + t) * s_.heads + h_ * s_.group + g) * s_.d;
        const float* from = scratch_.out.data() + row * s_.d;
        const float each = share[static_cast<size_t>(row)];
        for (int64_t i = 0; i < s_.d; ++i) to[i] = each > 0 ? at::BFloat16(from[i] * each) : at::BFloat16(0.0f);
      }
    }
  }

 private:
  // Columns [begin_, end_) in whole key blocks: all that some query of the task reads.
  void find_columns() {
    int64_t lowest = 0, highest = s_.rows - s_.steps + first_ + count_;
    if (allowed_) {
      lowest = s_.rows, highest = 0;
      for (int64_t t = first_; t < first_ + count_; ++t) {
        const uint8_t* open = allowed_ + t * s_.rows;
        const int64_t first = std::find(open, open + s_.rows, 1) - open;
        lowest = std::min(lowest, first);
        int64_t last = s_.rows;
        while (last > highest && !open[last - 1]) --last;
        highest = std::max(highest, last);
      }
    }
    begin_ = std::min(lowest, highest) / kKeyBlock * kKeyBlock;
    end_ = std::max(round_up(highest, kKeyBlock), begin_ + kKeyBlock);
    end_ = std::min(end_, s_.padded);
    begin_ = std::min(begin_, end_ - kKeyBlock);
  }

  void score() {
    products(in_.q, begin_, end_, scratch_.scores.data(), s_.padded);
    // The front is a handful of columns: their scores are replaced.
    for (int64_t j = begin_; j < std::min(in_.front, end_); j += kKeyBlock) {
      products(in_.q_front, j, j + kKeyBlock, scratch_.front.data(), kKeyBlock);
      const int64_t columns = std::min(in_.front - j, kKeyBlock);
      for (int64_t row = 0; row < matrix_rows_; ++row)
        std::copy_n(scratch_.front.data() + row * kKeyBlock, columns,
                    scratch_.scores.data() + row * s_.padded + j - begin_);
    }
  }

  void products(const at::Tensor& q, int64_t begin, int64_t end, float* scores, int64_t stride) {
    const auto* from = static_cast<const uint16_t*>(q.const_data_ptr()) + b_ * q.stride(0);
    for (int64_t g = 0; g < s_.group; ++g)
      for (int64_t t = 0; t < s_.queries; ++t) {
        uint16_t* to = scratch_.q.data() + (g * s_.queries + t) * s_.d;
        if (t < count_)
          std::copy_n(from + (h_ * s_.group + g) * q.stride(1) + (first_ + t) * q.stride(2), s_.d, to);
        else
          std::fill_n(to, s_.d, uint16_t{0});
      }
    for (int64_t j = begin; j < end; j += kKeyBlock)
      at::native::cpublas::brgemm(matrix_rows_, kKeyBlock, s_.d, s_.d, kKeyBlock, stride, false,
                                  bf16(scratch_.q.data()), bf16(k_ + j * s_.d), scores + (j - begin));
  }

  // Hidden columns of a query to -inf; how many it reads.
  int64_t hide(int64_t t, float* scores) const {
    const int64_t last = std::min(end_, s_.rows);
    if (!allowed_) {
      const int64_t visible = s_.rows - s_.steps + t + 1;
      std::fill(scores + std::min(visible, end_) - begin_, scores + end_ - begin_, kMinusInfinity);
      return visible;
    }
    const uint8_t* open = allowed_ + t * s_.rows;
    int64_t visible = 0;
    for (int64_t j = begin_; j < last; ++j) {
      scores[j - begin_] = open[j] ? scores[j - begin_] : kMinusInfinity;
      visible += open[j];
    }
    std::fill(scores + last - begin_, scores + end_ - begin_, kMinusInfinity);
    return visible;
  }

  const AttentionInput& in_;
  const Shape& s_;
  Scratch& scratch_;
  int64_t matrix_rows_, b_, h_, first_, count_, begin_ = 0, end_ = 0;
  const uint16_t *k_, *v_;
  const uint8_t* allowed_ = nullptr;
};

}  // namespace

bool fits_blocks(const AttentionInput& in) {
  static const bool can = kernels::has_bf16_dot() && at::native::cpublas::could_pack(at::kBFloat16);
  return can && in.q.scalar_type() == at::kBFloat16 && in.k.scalar_type() == at::kBFloat16 &&
         in.v.scalar_type() == at::kBFloat16 && in.q.size(3) % 32 == 0 && in.k.stride(3) == 1 && in.q.stride(3) == 1 &&
         in.k.strides() == in.v.strides() && in.scale > 0 &&
         (in.front == 0 || (in.q_front.scalar_type() == at::kBFloat16 && in.q_front.stride(3) == 1));
}

at::Tensor attend_blocks(const AttentionInput& input, AttentionReceived* received) {
  AttentionInput in = input;
  if (in.allowed.defined()) in.allowed = in.allowed.contiguous();
  const Shape s = shape_of(in);
  const Packed packed = pack(in, s);
  at::Tensor result = at::empty({s.batch, s.steps, s.heads * s.d}, at::kBFloat16);
  const int64_t blocks = (s.steps + s.queries - 1) / s.queries, tasks = s.batch * s.kv_heads * blocks;
  // Every task sums into rows of its own; they are added in order, so that threads do not change the bits.
  at::Tensor mass, peak;
  if (received) mass = at::zeros({tasks, s.group, s.padded}, at::kFloat);
  if (received && received->wants_peak) peak = at::zeros({tasks, s.group, s.padded}, at::kFloat);
  const auto rows_of = [&](const at::Tensor& t, int64_t task) {
    return t.defined() ? t.mutable_data_ptr<float>() + task * s.group * s.padded : nullptr;
  };
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(s);
    for (int64_t task = begin; task < end; ++task)
      Task(in, s, packed, scratch, task).run(result, rows_of(mass, task), rows_of(peak, task));
    at::native::cpublas::brgemm_release();
  });
  const auto by_head = [&](const at::Tensor& t) {  // [B * H_kv * blocks, group, padded] -> [B, H, blocks, S]
    return t.view({s.batch, s.kv_heads, blocks, s.group, s.padded}).transpose(2, 3).narrow(4, 0, s.rows);
  };
  if (received) received->mass = by_head(mass).sum(3).reshape({s.batch, s.heads, s.rows});
  if (peak.defined()) received->peak = by_head(peak).amax(3).reshape({s.batch, s.heads, s.rows});
  return result;
}

}  // namespace steno
