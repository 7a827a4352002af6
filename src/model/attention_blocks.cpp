#include "model/attention_blocks.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/kernels_bf16.h"

namespace steno {
namespace {

using kernels::kKeyBlock;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Columns whose scores stand in the cache together; longer rows go by segments with a running maximum. With the 96 rows
// of a common task that is 0.8 MB of f32, well inside a second-level cache.
constexpr int64_t kSegment = 2048;
// Rows of scores are a little longer than a power of two: at equal distances of 8 KiB they would fall into the same few
// sets of the first-level cache.
constexpr int64_t kStride = kSegment + 32;
constexpr int64_t kTaskRows = 96;

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
  s.queries = 64;
  while (s.queries > 8 && s.queries * s.group > kTaskRows) s.queries /= 2;
  while (s.queries / 2 >= s.steps && s.queries > 8) s.queries /= 2;
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
        scores(static_cast<size_t>(s.group * s.queries * kStride)),
        front(static_cast<size_t>(s.group * s.queries * kKeyBlock)),
        out(static_cast<size_t>(s.group * s.queries * s.d)),
        top(static_cast<size_t>(s.group * s.queries)),
        total(top.size()) {}
  std::vector<uint16_t> q;
  std::vector<float> scores, front, out;
  std::vector<float> top, total;  // running, by row
  // Probabilities of all segments but the last, kept only where column sums are asked for: the final maximum is known
  // at the end alone. [segment][row][kSegment], and the maxima they were taken against.
  std::vector<std::vector<uint16_t>> kept;
  std::vector<std::vector<float>> kept_top;
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

  // result [B, T, H * d]; normaliser [B, H, T], mass and peak [group, padded] of this task, nullptr where not asked
  // for.
  void run(at::Tensor& result, float* normaliser, float* mass, float* peak) {
    std::fill(scratch_.top.begin(), scratch_.top.end(), kMinusInfinity);
    std::fill(scratch_.total.begin(), scratch_.total.end(), 0.0f);
    scratch_.kept.clear(), scratch_.kept_top.clear();
    for (int64_t begin = begin_; begin < end_; begin += kSegment) {
      const int64_t width = std::min(kSegment, end_ - begin);
      score(begin, width);
      soften(begin, width);
      if (mass || peak) keep(width);
      const auto* p = reinterpret_cast<const uint16_t*>(scratch_.scores.data());
      for (int64_t j = 0; j < width; j += kKeyBlock)
        at::native::cpublas::brgemm(matrix_rows_, s_.d, kKeyBlock, 2 * kStride, s_.d, s_.d, begin + j > begin_,
                                    bf16(p + j), bf16(v_ + (begin + j) * s_.d), scratch_.out.data());
    }
    uint16_t* out = bits(result);
    for (int64_t g = 0; g < s_.group; ++g) {
      for (int64_t t = 0; t < count_; ++t) {
        const int64_t row = g * s_.queries + t;
        const float total = scratch_.total[static_cast<size_t>(row)], share = total > 0 ? 1 / total : 0;
        kernels::scale_to_bf16(scratch_.out.data() + row * s_.d, s_.d, share,
                               out + ((b_ * s_.steps + first_ + t) * s_.heads + h_ * s_.group + g) * s_.d);
        if (normaliser)
          normaliser[(b_ * s_.heads + h_ * s_.group + g) * s_.steps + first_ + t] =
              scratch_.top[static_cast<size_t>(row)] * static_cast<float>(in_.scale) + std::log(total);
        if (mass || peak) count_received(row, g, first_ + t, share, mass, peak);
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

  void score(int64_t begin, int64_t width) {
    products(in_.q, begin, begin + width, scratch_.scores.data(), kStride);
    // The front is a handful of columns: their scores are replaced.
    for (int64_t j = begin; j < std::min(in_.front, begin + width); j += kKeyBlock) {
      products(in_.q_front, j, j + kKeyBlock, scratch_.front.data(), kKeyBlock);
      const int64_t columns = std::min(in_.front - j, kKeyBlock);
      for (int64_t row = 0; row < matrix_rows_; ++row)
        std::copy_n(scratch_.front.data() + row * kKeyBlock, columns,
                    scratch_.scores.data() + row * kStride + j - begin);
    }
  }

  // Scores of a segment become weights against the running maximum; what was summed before is brought down to it.
  void soften(int64_t begin, int64_t width) {
    for (int64_t row = 0; row < matrix_rows_; ++row) {
      float* scores = scratch_.scores.data() + row * kStride;
      auto* p = reinterpret_cast<uint16_t*>(scores);
      const int64_t t = row % s_.queries;
      if (t >= count_) {  // padding rows of the matrix
        std::fill_n(p, width, uint16_t{0});
        continue;
      }
      hide(first_ + t, begin, width, scores);
      float& top = scratch_.top[static_cast<size_t>(row)];
      float& total = scratch_.total[static_cast<size_t>(row)];
      const float before = top;
      const float sum = kernels::soften_row(scores, width, static_cast<float>(in_.scale), top, p);
      if (begin > begin_ && top > before) {
        const float factor = before == kMinusInfinity ? 0 : std::exp((before - top) * static_cast<float>(in_.scale));
        total *= factor;
        for (int64_t i = 0; i < s_.d; ++i) scratch_.out[static_cast<size_t>(row * s_.d + i)] *= factor;
      }
      total += sum;
    }
  }

  void keep(int64_t width) {
    scratch_.kept_top.push_back(scratch_.top);
    if (scratch_.kept_top.size() * kSegment >= static_cast<size_t>(end_ - begin_))
      return;  // the last one stays in place
    std::vector<uint16_t> copy(static_cast<size_t>(matrix_rows_ * kSegment));
    for (int64_t row = 0; row < matrix_rows_; ++row)
      std::copy_n(reinterpret_cast<const uint16_t*>(scratch_.scores.data() + row * kStride), width,
                  copy.data() + row * kSegment);
    scratch_.kept.push_back(std::move(copy));
  }

  void count_received(int64_t row, int64_t g, int64_t t, float share, float* mass, float* peak) {
    const auto visible = static_cast<float>(visible_of(t));
    for (size_t i = 0; i < scratch_.kept_top.size(); ++i) {
      const int64_t begin = begin_ + static_cast<int64_t>(i) * kSegment, width = std::min(kSegment, end_ - begin);
      const uint16_t* p = i < scratch_.kept.size()
                              ? scratch_.kept[i].data() + row * kSegment
                              : reinterpret_cast<const uint16_t*>(scratch_.scores.data() + row * kStride);
      const float then = scratch_.kept_top[i][static_cast<size_t>(row)];
      const float now = scratch_.top[static_cast<size_t>(row)];
      const float each = then == now              ? share
                         : then == kMinusInfinity ? 0
                                                  : share * std::exp((then - now) * static_cast<float>(in_.scale));
      if (mass) kernels::add_shares(p, width, each, mass + g * s_.padded + begin);
      if (peak) kernels::raise_peaks(p, width, each * visible, peak + g * s_.padded + begin);
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

  // How many columns a query reads.
  int64_t visible_of(int64_t t) const {
    if (!allowed_) return s_.rows - s_.steps + t + 1;
    return std::count(allowed_ + t * s_.rows, allowed_ + (t + 1) * s_.rows, 1);
  }

  // Hidden columns of a query to -inf.
  void hide(int64_t t, int64_t begin, int64_t width, float* scores) const {
    const int64_t seen = std::clamp<int64_t>((allowed_ ? s_.rows : s_.rows - s_.steps + t + 1) - begin, 0, width);
    if (allowed_) kernels::hide(allowed_ + t * s_.rows + begin, seen, scores);
    std::fill(scores + seen, scores + width, kMinusInfinity);
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

at::Tensor attend_blocks(const AttentionInput& input, AttentionReceived* received, at::Tensor* normaliser) {
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
  if (normaliser) *normaliser = at::empty({s.batch, s.heads, s.steps}, at::kFloat);
  auto* sums = normaliser ? normaliser->mutable_data_ptr<float>() : nullptr;
  const auto rows_of = [&](const at::Tensor& t, int64_t task) {
    return t.defined() ? t.mutable_data_ptr<float>() + task * s.group * s.padded : nullptr;
  };
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(s);
    for (int64_t task = begin; task < end; ++task)
      Task(in, s, packed, scratch, task).run(result, sums, rows_of(mass, task), rows_of(peak, task));
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
