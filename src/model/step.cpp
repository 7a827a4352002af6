#include "model/step.h"

#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "model/kernels.h"
#include "model/kernels_bf16.h"
#include "model/kernels_int8.h"
#include "model/rope.h"
#include "model/step_parts.h"

namespace steno {
namespace {

using kernels::Num;
constexpr int64_t kRun = 128;  // rows of one attention task; at most kernels::kAttendSplit
static_assert(kRun <= kernels::kAttendSplit);

struct Layer {
  Product q, k, v, o, gate, up, down;
  bool qkv_rounds, o_rounds, mlp_rounds, down_rounds;
};

// What one sequence brings, as plain pointers.
struct Sequence {
  const Input* input;
  RotaryTable turn, front_turn;              // [1, 1, d_h / 2]
  RotaryTable local_turn, local_front_turn;  // defined where some layer uses them
  std::vector<at::Tensor> mass;              // [layers] of [1, H, S + 1]
  std::vector<at::Tensor> queries;           // [layers] of [1, H, 1, d_h]
};

bool wants_mass(const Input& input) { return input.capture.mass || input.capture.peak; }
int64_t rows_of(const Input& input, int64_t layer) { return input.rows[static_cast<size_t>(layer)].used; }

bool all_round(const Decoder& decoder, std::initializer_list<const Product*> products) {
  if (decoder.compute_dtype() != at::kBFloat16 || !kernels::has_int8()) return false;
  return std::all_of(products.begin(), products.end(),
                     [](const Product* p) { return kernels::multiplies_int8(p->blocks.type); });
}

class Step {
 public:
  Step(const Decoder& decoder, std::span<const Input* const> inputs)
      : decoder_(decoder),
        c_(decoder.config()),
        count_(static_cast<int64_t>(inputs.size())),
        group_(c_.heads / c_.kv_heads),
        bf16_(decoder.compute_dtype() == at::kBFloat16),
        dots_(bf16_ && c_.d_h % 32 == 0 && kernels::has_bf16_dot()),
        alone_(count_ == 1) {
    for (const Input* input : inputs) sequences_.push_back(open(*input));
    for (int64_t i = 0; i < c_.layers; ++i) layers_.push_back(layer(i));
    head_ = product(decoder.weights().head);
    head_rounds_ = all_round(decoder_, {&head_});
    qkv_width_ = (c_.heads + 2 * c_.kv_heads) * c_.d_h;
    x_.resize(static_cast<size_t>(count_ * c_.d_model));
    qkv_.resize(static_cast<size_t>(count_ * qkv_width_));
    gate_.resize(static_cast<size_t>(count_ * std::max(c_.d_ff, c_.d_model)));
    up_.resize(static_cast<size_t>(count_ * c_.d_ff));
    embed();
  }

  std::vector<Output> run() {
    std::vector<Output> outputs(sequences_.size());
    at::Tensor logits, hidden = at::empty({count_, 1, c_.d_model}, at::kFloat);
    bool wants_logits = false;
    for (const Sequence& s : sequences_) wants_logits |= s.input->logits != LogitRows::none;
    if (wants_logits) logits = at::empty({count_, 1, c_.vocab}, at::kFloat);
    plan();
    Buffers shared(count_, c_);
    inner_ = std::vector<float>(static_cast<size_t>(count_ * c_.d_ff));
    with_team([&](Team team) {
      std::optional<Buffers> own;
      if (alone_) own.emplace(count_, c_);
      Buffers& b = alone_ ? *own : shared;
      for (int64_t i = 0; i < c_.layers; ++i) block(team, i, b);
      norm_rows(team, b.normed, decoder_.weights().final_norm, wants_logits && head_rounds_);
      const auto [first, last] = team.share(count_);
      for (int64_t r = first; r < last; ++r)
        std::copy_n(b.normed.row(r), c_.d_model, hidden.mutable_data_ptr<float>() + r * c_.d_model);
      if (!wants_logits) return;
      const auto [begin, end] = team.share(c_.vocab, 16);
      b.normed.multiply(head_, head_rounds_, begin, end, logits.mutable_data_ptr<float>() + begin, c_.vocab);
    });
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto r = static_cast<int64_t>(i);
      outputs[i].hidden = hidden.narrow(0, r, 1);
      if (sequences_[i].input->logits != LogitRows::none) outputs[i].logits = logits.narrow(0, r, 1);
      Sequence& s = sequences_[i];
      // One query: its largest share is its only one.
      if (s.input->capture.peak)
        for (const at::Tensor& mass : s.mass) outputs[i].peak.push_back(mass * mass.size(2));
      if (s.input->capture.mass) outputs[i].mass = std::move(s.mass);
      outputs[i].queries = std::move(s.queries);
    }
    return outputs;
  }

 private:
  // Inputs of the products. A single row costs less to prepare than two threads need to meet, so then every thread
  // prepares it for itself in buffers of its own; several rows are shared out.
  struct Buffers {
    Buffers(int64_t count, const ModelConfig& c)
        : normed(count, c.d_model), attended(count, c.heads * c.d_h), inner(count, c.d_ff) {}
    Activations normed, attended, inner;
  };
  std::pair<int64_t, int64_t> my_rows(Team team) const {
    return alone_ ? std::pair<int64_t, int64_t>(0, 1) : team.share(count_);
  }
  void meet_unless_alone(Team team) const {
    if (!alone_) team.meet();
  }

  // One run of rows of one key/value head of one sequence.
  struct Task {
    int64_t sequence, head, begin, end;
    int64_t part;  // index into partial_
  };
  struct LayerPlan {
    std::vector<Task> tasks;
    std::vector<int64_t> first_part;  // [sequences * H_kv + 1]: parts of a sequence's head are consecutive
  };

  static Product product(const LinearWeight& weight) {
    Product p{&weight, *weight_blocks(weight), nullptr};
    if (weight.bias().defined()) p.bias = weight.bias().const_data_ptr<float>();
    return p;
  }

  Layer layer(int64_t i) const {
    const LayerWeights& w = decoder_.weights().layers[static_cast<size_t>(i)];
    Layer l{product(w.q), product(w.k), product(w.v), product(w.o), product(w.gate), product(w.up), product(w.down),
            false,        false,        false,        false};
    l.qkv_rounds = all_round(decoder_, {&l.q, &l.k, &l.v});
    l.o_rounds = all_round(decoder_, {&l.o});
    l.mlp_rounds = all_round(decoder_, {&l.gate, &l.up});
    l.down_rounds = all_round(decoder_, {&l.down});
    return l;
  }

  Sequence open(const Input& input) const {
    Sequence s{.input = &input};
    const at::Tensor positions =
        input.positions.defined() ? input.positions : at::full({1, 1}, rows_of(input, 0), at::kLong);
    const auto angles = [&](const RopeConfig& rope, const at::Tensor& at) {
      return rotary_table(rope, c_.d_h, at, input.rope_length);
    };
    const bool local =
        std::any_of(c_.kinds.begin(), c_.kinds.end(), [](const LayerKind& kind) { return kind.local_rope; });
    s.turn = angles(c_.rope, positions);
    if (local) s.local_turn = angles(c_.local_rope, positions);
    if (input.front.rows > 0) {
      s.front_turn = angles(c_.rope, input.front.query_positions);
      if (local) s.local_front_turn = angles(c_.local_rope, input.front.query_positions);
    }
    for (int64_t i = 0; i < c_.layers; ++i) {
      if (wants_mass(input)) s.mass.push_back(at::empty({1, c_.heads, rows_of(input, i) + 1}, at::kFloat));
      if (input.capture.queries) s.queries.push_back(at::empty({1, c_.heads, 1, c_.d_h}, decoder_.compute_dtype()));
    }
    return s;
  }

  void embed() {
    for (int64_t r = 0; r < count_; ++r) {
      const at::Tensor row = decoder_.embed(sequences_[static_cast<size_t>(r)].input->ids).contiguous();
      std::copy_n(row.const_data_ptr<float>(), c_.d_model, x_.data() + r * c_.d_model);
    }
  }

  // Tasks of every layer; layers whose sequences hold equally many rows share a plan.
  void plan() {
    size_t most = 0;
    for (int64_t i = 0; i < c_.layers; ++i) {
      std::vector<int64_t> rows;
      for (const Sequence& s : sequences_) rows.push_back(rows_of(*s.input, i));
      if (i > 0 && rows == planned_rows_) {
        plan_of_.push_back(plan_of_.back());
        continue;
      }
      planned_rows_ = rows;
      LayerPlan plan;
      for (int64_t r = 0; r < count_; ++r) {
        for (int64_t h = 0; h < c_.kv_heads; ++h) {
          plan.first_part.push_back(static_cast<int64_t>(plan.tasks.size()));
          const int64_t total = rows[static_cast<size_t>(r)] + 1;
          for (int64_t begin = 0; begin < total; begin += kRun)
            plan.tasks.push_back({r, h, begin, std::min(total, begin + kRun), static_cast<int64_t>(plan.tasks.size())});
        }
      }
      plan.first_part.push_back(static_cast<int64_t>(plan.tasks.size()));
      most = std::max(most, plan.tasks.size());
      plan_of_.push_back(plans_.size());
      plans_.push_back(std::move(plan));
    }
    partial_.resize(most * static_cast<size_t>(group_ * (c_.d_h + 2)));
    for (const Sequence& s : sequences_) wants_mass_ |= wants_mass(*s.input);
    if (wants_mass_) weights_.resize(most * static_cast<size_t>(group_ * kernels::kAttendSplit));
  }

  // normed = RMSNorm(x), in the form of the next product.
  void norm_rows(Team team, Activations& normed, const at::Tensor& weight, bool rounds) {
    const float* w = weight.const_data_ptr<float>();
    const auto [first, last] = my_rows(team);
    for (int64_t r = first; r < last; ++r) {
      kernels::rms_norm(x_.data() + r * c_.d_model, w, c_.norm_eps, 1, c_.d_model, normed.row(r), Num::f32);
      normed.prepare(r, rounds);
    }
    meet_unless_alone(team);
  }

  // x += y for one product that comes back into the residual stream; y is normed first in sandwich models.
  void add(Team team, const Activations& from, const Product& product, bool rounds, const at::Tensor& post_norm) {
    const auto [begin, end] = team.share(c_.d_model, 16);
    // Outputs of the MLP's first half are free by now.
    float* y = gate_.data();
    const int64_t stride = std::max(c_.d_ff, c_.d_model);
    from.multiply(product, rounds, begin, end, y + begin, stride);
    if (c_.sandwich_norm) {
      team.meet();
      const auto [first, last] = team.share(count_);
      for (int64_t r = first; r < last; ++r)
        kernels::rms_norm(y + r * stride, post_norm.const_data_ptr<float>(), c_.norm_eps, 1, c_.d_model, y + r * stride,
                          Num::f32);
      team.meet();
    }
    for (int64_t r = 0; r < count_; ++r)
      for (int64_t i = begin; i < end; ++i) x_[static_cast<size_t>(r * c_.d_model + i)] += y[r * stride + i];
    team.meet();
  }

  void block(Team team, int64_t i, Buffers& b) {
    const Layer& l = layers_[static_cast<size_t>(i)];
    const LayerWeights& w = decoder_.weights().layers[static_cast<size_t>(i)];
    norm_rows(team, b.normed, w.attention_norm, l.qkv_rounds);
    int64_t at = 0;
    const auto [begin, end] = team.share(qkv_width_, 16);
    for (const Product* p : {&l.q, &l.k, &l.v}) {
      const int64_t out = p->weight->out(), from = std::max(begin, at), to = std::min(end, at + out);
      b.normed.multiply(*p, l.qkv_rounds, from - at, to - at, qkv_.data() + from, qkv_width_);
      at += out;
    }
    team.meet();
    attend(team, i);
    team.meet();
    merge(team, i, b.attended, l.o_rounds);
    add(team, b.attended, l.o, l.o_rounds, w.post_attention_norm);

    norm_rows(team, b.normed, w.mlp_norm, l.mlp_rounds);
    const auto [first, last] = team.share(c_.d_ff, 16);
    b.normed.multiply(l.gate, l.mlp_rounds, first, last, gate_.data() + first, c_.d_ff);
    b.normed.multiply(l.up, l.mlp_rounds, first, last, up_.data() + first, c_.d_ff);
    for (int64_t r = 0; r < count_; ++r)
      kernels::silu_multiply(gate_.data() + r * c_.d_ff + first, up_.data() + r * c_.d_ff + first, Num::f32, c_.d_ff, 1,
                             last - first, inner_.data() + r * c_.d_ff + first, Num::f32);
    team.meet();
    const auto [from, to] = my_rows(team);
    for (int64_t r = from; r < to; ++r) {
      std::copy_n(inner_.data() + r * c_.d_ff, c_.d_ff, b.inner.row(r));
      b.inner.prepare(r, l.down_rounds);
    }
    meet_unless_alone(team);
    add(team, b.inner, l.down, l.down_rounds, w.post_mlp_norm);
  }

  const RotaryTable& turn_of(const Sequence& s, int64_t layer, bool front) const {
    if (c_.kinds[static_cast<size_t>(layer)].local_rope) return front ? s.local_front_turn : s.local_turn;
    return front ? s.front_turn : s.turn;
  }

  // One head row of q or k, normed where the family does so and turned, into `to`.
  void turn(const float* row, const at::Tensor& norm, const RotaryTable& table, void* to, Num type) const {
    float normed[kMaxHead];
    if (c_.qk_norm) {
      kernels::rms_norm(row, norm.const_data_ptr<float>(), c_.norm_eps, 1, c_.d_h, normed, Num::f32);
      row = normed;
    }
    kernels::rotate_row(row, Num::f32, table.cos.const_data_ptr<float>(), table.sin.const_data_ptr<float>(), c_.d_h / 2,
                        table.layout == RopeLayout::interleaved, to, type);
  }

  void attend(Team team, int64_t i) {
    const LayerPlan& plan = plans_[plan_of_[static_cast<size_t>(i)]];
    const auto [first, last] = team.share(static_cast<int64_t>(plan.tasks.size()));
    std::vector<float> q(static_cast<size_t>(2 * group_ * c_.d_h));
    std::vector<uint16_t> q16(dots_ ? q.size() : 0);
    int64_t prepared = -1;
    for (int64_t t = first; t < last; ++t) {
      const Task& task = plan.tasks[static_cast<size_t>(t)];
      const Sequence& s = sequences_[static_cast<size_t>(task.sequence)];
      const LayerRows& rows = s.input->rows[static_cast<size_t>(i)];
      const int64_t key = task.sequence * c_.kv_heads + task.head;
      if (key != prepared) prepare_queries(i, task, s, q.data(), q16.data());
      prepared = key;

      const int64_t bytes = bf16_ ? 2 : 4, row_stride = rows.k.stride(2);
      auto* k = static_cast<std::byte*>(rows.k.mutable_data_ptr()) + task.head * rows.k.stride(1) * bytes;
      auto* v = static_cast<std::byte*>(rows.v.mutable_data_ptr()) + task.head * rows.v.stride(1) * bytes;
      if (task.end == rows.used + 1) write_row(i, task, s, k, v, row_stride * bytes);
      float* out = partial_.data() + task.part * group_ * (c_.d_h + 2);
      float* max = out + group_ * c_.d_h;
      const int64_t half = group_ * c_.d_h;
      float* weights = wants_mass_ ? weights_.data() + task.part * group_ * kernels::kAttendSplit : nullptr;
      if (dots_)
        kernels::attend_split_bf16(q16.data(), q16.data() + half, s.input->front.rows, group_, c_.d_h,
                                   reinterpret_cast<const uint16_t*>(k), reinterpret_cast<const uint16_t*>(v),
                                   row_stride, nullptr, task.begin, task.end, out, max, max + group_, weights);
      else
        kernels::attend_split(q.data(), q.data() + half, s.input->front.rows, group_, c_.d_h, k, v,
                              bf16_ ? Num::bf16 : Num::f32, row_stride, nullptr, task.begin, task.end, out, max,
                              max + group_, weights);
    }
  }

  // Turned and scaled queries of a group, and after them those for the front.
  void prepare_queries(int64_t i, const Task& task, const Sequence& s, float* q, uint16_t* q16) const {
    const LayerWeights& w = decoder_.weights().layers[static_cast<size_t>(i)];
    const float* source = qkv_.data() + task.sequence * qkv_width_ + task.head * group_ * c_.d_h;
    const int64_t half = group_ * c_.d_h;
    const auto scale = static_cast<float>(c_.attention_scale);
    for (const bool front : {false, true}) {
      if (front && s.input->front.rows == 0) break;
      float* to = q + (front ? half : 0);
      for (int64_t g = 0; g < group_; ++g)
        turn(source + g * c_.d_h, w.q_norm, turn_of(s, i, front), to + g * c_.d_h, Num::f32);
      if (!front && task.begin == 0 && s.input->capture.queries) keep_queries(i, task, s, to);
      for (int64_t n = 0; n < half; ++n) to[n] *= scale;
      if (dots_) kernels::to_bf16(to, half, q16 + (front ? half : 0));
    }
  }

  void keep_queries(int64_t i, const Task& task, const Sequence& s, const float* turned) const {
    const at::Tensor& to = s.queries[static_cast<size_t>(i)];
    const int64_t half = group_ * c_.d_h;
    if (bf16_)
      kernels::to_bf16(turned, half, static_cast<uint16_t*>(to.mutable_data_ptr()) + task.head * half);
    else
      std::copy_n(turned, half, to.mutable_data_ptr<float>() + task.head * half);
  }

  // The new token's key and value become the last row.
  void write_row(int64_t i, const Task& task, const Sequence& s, std::byte* k, std::byte* v, int64_t row_bytes) const {
    const LayerWeights& w = decoder_.weights().layers[static_cast<size_t>(i)];
    const float* own = qkv_.data() + task.sequence * qkv_width_ + (c_.heads + task.head) * c_.d_h;
    const float* value = own + c_.kv_heads * c_.d_h;
    const int64_t at = (task.end - 1) * row_bytes;
    turn(own, w.k_norm, turn_of(s, i, false), k + at, bf16_ ? Num::bf16 : Num::f32);
    if (bf16_)
      kernels::to_bf16(value, c_.d_h, reinterpret_cast<uint16_t*>(v + at));
    else
      std::copy_n(value, c_.d_h, reinterpret_cast<float*>(v + at));
  }

  // Parts of every head become one softmax in `attended`, prepared for the output projection. The mass is written by
  // one thread per head in any case.
  void merge(Team team, int64_t i, Activations& attended, bool rounds) {
    const LayerPlan& plan = plans_[plan_of_[static_cast<size_t>(i)]];
    const auto [first, last] = team.share(count_ * c_.kv_heads);
    for (int64_t key = alone_ ? 0 : first; key < (alone_ ? c_.kv_heads : last); ++key) {
      const int64_t r = key / c_.kv_heads, h = key % c_.kv_heads;
      const int64_t begin = plan.first_part[static_cast<size_t>(key)],
                    end = plan.first_part[static_cast<size_t>(key) + 1];
      for (int64_t g = 0; g < group_; ++g)
        merge_head(i, r, h, g, begin, end, attended, /*writes_mass=*/key >= first && key < last);
    }
    meet_unless_alone(team);
    const auto [from, to] = my_rows(team);
    for (int64_t r = from; r < to; ++r) attended.prepare(r, rounds);
    meet_unless_alone(team);
  }

  void merge_head(int64_t i, int64_t r, int64_t h, int64_t g, int64_t begin, int64_t end, Activations& attended,
                  bool writes_mass) {
    const int64_t stride = group_ * (c_.d_h + 2), max_at = (group_ - g) * c_.d_h + g;
    const float* parts = partial_.data() + begin * stride + g * c_.d_h;
    const auto [top, share] = kernels::merge_parts(parts, end - begin, stride, max_at, max_at + group_, c_.d_h,
                                                   attended.row(r) + (h * group_ + g) * c_.d_h);
    if (!writes_mass) return;
    const Sequence& s = sequences_[static_cast<size_t>(r)];
    if (s.mass.empty()) return;
    const int64_t columns = rows_of(*s.input, i) + 1;
    float* mass = s.mass[static_cast<size_t>(i)].mutable_data_ptr<float>() + (h * group_ + g) * columns;
    for (int64_t p = begin; p < end; ++p) {
      const float factor = std::exp(parts[(p - begin) * stride + max_at] - top) * share;
      const float* weights = weights_.data() + (p * group_ + g) * kernels::kAttendSplit;
      const int64_t from = (p - begin) * kRun, length = std::min(kRun, columns - from);
      for (int64_t j = 0; j < length; ++j) mass[from + j] = weights[j] * factor;
    }
  }

 public:
  static constexpr int64_t kMaxHead = 512;

 private:
  const Decoder& decoder_;
  const ModelConfig& c_;
  int64_t count_, group_, qkv_width_ = 0;
  bool bf16_, dots_, alone_, head_rounds_ = false, wants_mass_ = false;
  std::vector<Sequence> sequences_;
  std::vector<Layer> layers_;
  Product head_;
  std::vector<float> x_, qkv_, gate_, up_, inner_;  // [B, d], [B, (H + 2 H_kv) d_h], 3 times [B, d_ff]
  std::vector<float> partial_;                      // [parts, group, d_h + 2]: sums, then maxima, then totals
  std::vector<float> weights_;                      // [parts, group, kAttendSplit]
  std::vector<LayerPlan> plans_;
  std::vector<size_t> plan_of_;  // [layers]
  std::vector<int64_t> planned_rows_;
};

}  // namespace

bool fits_step(const Decoder& decoder, const Input& in) {
  const ModelConfig& c = decoder.config();
  const auto& w = decoder.weights();
  if (c10::GradMode::is_enabled() || !decoder.device().is_cpu()) return false;
  if (in.embeddings.defined() || in.adapters || in.mask.allowed.defined() || in.rows.empty()) return false;
  if (in.ids.size(0) != 1 || in.ids.size(1) != 1 || c.activation != Activation::silu) return false;
  if (c.d_h > Step::kMaxHead || c.d_model % 32 || c.d_ff % 32 || (c.heads * c.d_h) % 32) return false;
  Capture other = in.capture;
  other.mass = other.peak = other.queries = false;
  if (other != Capture{}) return false;
  for (const LayerKind& kind : c.kinds)
    if (kind.window > 0) return false;
  // Without room for the new row the plain path says so; here it would be written past the end.
  if (static_cast<int64_t>(in.rows.size()) != c.layers) return false;
  for (const LayerRows& rows : in.rows)
    if (!rows.in_place || rows.used >= rows.k.size(2) || rows.k.scalar_type() != decoder.compute_dtype() ||
        rows.k.stride(3) != 1 || rows.v.strides() != rows.k.strides())
      return false;
  const auto reads = [](const LinearWeight& weight) {
    return weight_blocks(weight).has_value() && (!weight.bias().defined() || weight.bias().scalar_type() == at::kFloat);
  };
  for (const LayerWeights& l : w.layers)
    for (const LinearWeight* weight : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down})
      if (!reads(*weight)) return false;
  return reads(w.head);
}

std::vector<Output> step(const Decoder& decoder, std::span<const Input* const> inputs) {
  return Step(decoder, inputs).run();
}

}  // namespace steno
