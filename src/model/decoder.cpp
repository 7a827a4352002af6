#include "model/decoder.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <tuple>

#include "base/error.h"
#include "model/activation_checkpoint.h"
#include "model/attention.h"
#include "model/differentiable.h"
#include "model/kernels.h"
#include "model/rope.h"
#include "model/step.h"

namespace steno {
namespace {

bool records(const at::Tensor& x) { return c10::GradMode::is_enabled() && x.requires_grad(); }

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& w, double eps, at::ScalarType out = at::kFloat) {
  if (records(x) && !records(w)) return differentiable_rms_norm(x.to(at::kFloat), w, eps).to(out);
  if (records(w) || !x.is_cpu()) {
    const at::Tensor xf = x.to(at::kFloat);
    return (xf * at::rsqrt(xf.square().mean(-1, true) + eps) * w).to(out);
  }
  const at::Tensor xf = x.to(at::kFloat).contiguous();
  const at::Tensor y = at::empty(xf.sizes(), xf.options().dtype(out));
  const int64_t n = xf.size(-1), rows = xf.numel() / n;
  const float* source = xf.const_data_ptr<float>();
  auto* target = static_cast<std::byte*>(y.mutable_data_ptr());
  const auto type = out == at::kFloat ? kernels::Num::f32 : kernels::Num::bf16;
  const int64_t bytes = static_cast<int64_t>(y.element_size());
  const float* weight = w.const_data_ptr<float>();
  at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / n), [&](int64_t begin, int64_t end) {
    kernels::rms_norm(source + begin * n, weight, eps, end - begin, n, target + begin * n * bytes, type);
  });
  return y;
}

at::Tensor activate(const at::Tensor& gate, const at::Tensor& up, Activation activation) {
  if (activation == Activation::silu && (records(gate) || records(up))) return differentiable_silu_multiply(gate, up);
  const bool plain = gate.is_cpu() && !records(gate) && !records(up) && activation == Activation::silu &&
                     gate.dim() >= 2 && gate.stride(-1) == 1 && gate.strides() == up.strides() &&
                     (gate.scalar_type() == at::kFloat || gate.scalar_type() == at::kBFloat16) &&
                     gate.scalar_type() == up.scalar_type() &&
                     (gate.dim() == 2 || gate.size(0) == 1 || gate.stride(0) == gate.size(1) * gate.stride(1));
  if (!plain) return (activation == Activation::silu ? at::silu(gate) : at::gelu(gate, "tanh")) * up;
  const at::Tensor y = at::empty(gate.sizes(), gate.options());
  const int64_t n = gate.size(-1), rows = gate.numel() / n, stride = gate.stride(-2);
  const auto type = gate.scalar_type() == at::kFloat ? kernels::Num::f32 : kernels::Num::bf16;
  const int64_t bytes = static_cast<int64_t>(gate.element_size());
  const auto* g = static_cast<const std::byte*>(gate.const_data_ptr());
  const auto* u = static_cast<const std::byte*>(up.const_data_ptr());
  auto* out = static_cast<std::byte*>(y.mutable_data_ptr());
  at::parallel_for(0, rows, std::max<int64_t>(1, 8192 / n), [&](int64_t begin, int64_t end) {
    kernels::silu_multiply(g + begin * stride * bytes, u + begin * stride * bytes, type, stride, end - begin, n,
                           out + begin * n * bytes, type);
  });
  return y;
}

// Which columns a sliding layer may read, [B, 1 or H_kv, T, S + T]: those of `base` that are less than `window` back.
// Front rows count from where they are read. key_positions [B, S + T] or [B, H_kv, S + T].
at::Tensor window_mask(const at::Tensor& base, int64_t window, const at::Tensor& positions,
                       const at::Tensor& key_positions, const Front& front) {
  const at::Tensor keys = (key_positions.dim() == 2 ? key_positions.unsqueeze(1) : key_positions).unsqueeze(2);
  at::Tensor distance = positions.unsqueeze(1).unsqueeze(3) - keys;
  if (front.rows > 0)
    distance.narrow(3, 0, front.rows)
        .copy_(front.query_positions.unsqueeze(1).unsqueeze(3) - keys.narrow(3, 0, front.rows));
  return base.logical_and(distance < window);
}

// Positions of all columns of a layer: rows first, then the tokens of this call.
at::Tensor column_positions(const at::Tensor& rows, const at::Tensor& positions) {
  const int64_t batch = positions.size(0);
  if (rows.dim() == 2) return at::cat({rows.expand({batch, rows.size(1)}), positions}, 1);
  return at::cat({rows.expand({batch, rows.size(1), rows.size(2)}),
                  positions.unsqueeze(1).expand({batch, rows.size(1), positions.size(1)})},
                 2);
}

// What a block needs besides its input, rows and adapters. Values, since a checkpointed block runs again later.
struct BlockCall {
  Capture capture;
  RotaryTable turn;
  at::Tensor allowed;  // Mask::allowed with the layer's window
  int64_t front = 0;
  std::optional<RotaryTable> turn_front;
};

// attention_input(), or the same in bf16, to which project() rounds it, where gradients are recorded in bf16.
at::Tensor projection_input(const Decoder& decoder, int64_t layer, const at::Tensor& x, bool captured) {
  const at::Tensor& w = decoder.weights().layers[layer].attention_norm;
  if (captured || decoder.compute_dtype() != at::kBFloat16 || !records(x) || records(w) || !fits_norm_kernels(x))
    return decoder.attention_input(layer, x);
  return differentiable_rms_norm_bf16(x, w, decoder.config().norm_eps);
}

// One layer. x [B, T, d] -> [B, T, d]; captures are appended to `out`.
at::Tensor run_block(const Decoder& decoder, int64_t layer, const BlockCall& call, const at::Tensor& x,
                     const LayerRows& rows, const AdapterSet* adapters, Output& out) {
  const at::Tensor normed = projection_input(decoder, layer, x, call.capture.attention_input);
  const int64_t steps = x.size(1);
  if (call.capture.attention_input) out.attention_inputs.push_back(normed);
  const Projected p = decoder.project(layer, normed, adapters);
  if (call.capture.unrotated_keys) out.unrotated_keys.push_back(p.k);
  if (call.capture.unrotated_queries) out.unrotated_queries.push_back(p.q);

  AttentionInput a;
  a.scale = decoder.config().attention_scale;
  a.q = rotate(p.q, call.turn);
  if (call.turn_front) {
    a.front = call.front;
    a.q_front = rotate(p.q, *call.turn_front);
  }
  LayerKv own;
  if (rows.in_place) {
    own = {rows.k.narrow(2, rows.used, steps), rows.v.narrow(2, rows.used, steps)};
    rotate_into(p.k, call.turn, own.k);
    own.v.copy_(p.v);
    a.k = rows.k.narrow(2, 0, rows.used + steps);
    a.v = rows.v.narrow(2, 0, rows.used + steps);
  } else {
    own = {rotate(p.k, call.turn), p.v};
    a.k = rows.k.defined() ? at::cat({rows.k.to(own.k.scalar_type()), own.k}, 2) : own.k;
    a.v = rows.v.defined() ? at::cat({rows.v.to(own.v.scalar_type()), own.v}, 2) : own.v;
  }
  a.allowed = call.allowed;
  if (call.capture.queries) out.queries.push_back(a.q);
  if (call.capture.kv) out.kv.push_back(own);
  AttentionReceived received;
  received.wants_peak = call.capture.peak;
  const bool wants_received = call.capture.mass || call.capture.peak;
  const at::Tensor attended = attend(a, wants_received ? &received : nullptr);
  if (call.capture.mass) out.mass.push_back(received.mass);
  if (call.capture.peak) out.peak.push_back(received.peak);
  return decoder.finish(layer, x, attended, adapters);
}

// Captures of one block as a list, and back.
std::vector<at::Tensor*> captures_of(Output& out) {
  std::vector<at::Tensor*> list;
  for (auto* kind :
       {&out.attention_inputs, &out.queries, &out.unrotated_keys, &out.unrotated_queries, &out.mass, &out.peak})
    for (at::Tensor& tensor : *kind) list.push_back(&tensor);
  for (LayerKv& kv : out.kv) list.push_back(&kv.k), list.push_back(&kv.v);
  return list;
}

// The same, but what autograd keeps of it are the inputs. Adapter tensors are inputs too: gradients flow to them.
at::Tensor run_block_checkpointed(const Decoder& decoder, int64_t layer, const BlockCall& call, const at::Tensor& x,
                                  const LayerRows& rows, const AdapterSet* adapters, Output& out) {
  TORCH_CHECK(!rows.in_place, "rows in place are for inference");
  std::vector<at::Tensor> inputs = {x};
  const bool has_rows = rows.k.defined();
  if (has_rows) inputs.insert(inputs.end(), {rows.k, rows.v});
  const size_t first = inputs.size();
  std::vector<Target> targets;
  for (int i = 0; adapters && i < kTargets; ++i) {
    const LoraPair& pair = adapters->pair(layer, static_cast<Target>(i));
    if (!pair.defined()) continue;
    targets.push_back(static_cast<Target>(i));
    inputs.push_back(pair.a);
    inputs.push_back(pair.b);
  }
  const std::optional<AdapterSet> frozen = adapters ? std::optional(*adapters) : std::nullopt;
  const auto part = [&decoder, layer, call, targets, frozen, has_rows, first](const std::vector<at::Tensor>& in) {
    std::optional<AdapterSet> own = frozen;
    for (size_t i = 0; i < targets.size(); ++i)
      own->pair(layer, targets[i]) = {in[first + 2 * i], in[first + 2 * i + 1]};
    Output captured;
    std::vector<at::Tensor> results = {run_block(decoder, layer, call, in[0],
                                                 has_rows ? LayerRows{in[1], in[2]} : LayerRows{},
                                                 own ? &*own : nullptr, captured)};
    for (const at::Tensor* tensor : captures_of(captured)) results.push_back(*tensor);
    return results;
  };
  const auto results = run_checkpointed(part, inputs, adapters && adapters->config().dropout > 0);
  // The captures are in the order in which captures_of() lists one block of each kind.
  size_t next = 1;
  const auto take = [&](bool wanted, std::vector<at::Tensor>& list) {
    if (wanted) list.push_back(results[next++]);
  };
  take(call.capture.attention_input, out.attention_inputs);
  take(call.capture.queries, out.queries);
  take(call.capture.unrotated_keys, out.unrotated_keys);
  take(call.capture.unrotated_queries, out.unrotated_queries);
  take(call.capture.mass, out.mass);
  take(call.capture.peak, out.peak);
  if (call.capture.kv) out.kv.push_back({results[next], results[next + 1]});
  return results[0];
}

// Rows that a layer reads before the tokens of this call.
int64_t rows_of(const Input& in, int64_t layer) {
  if (in.rows.empty()) return 0;
  const LayerRows& rows = in.rows[static_cast<size_t>(layer)];
  return rows.in_place ? rows.used : rows.k.size(2);
}

}  // namespace

Decoder::Decoder(ModelConfig config, DecoderWeights weights, at::ScalarType compute)
    : config_(std::move(config)), weights_(std::move(weights)), compute_(compute) {}

at::Tensor Decoder::embed(const at::Tensor& ids) const {
  if (ids.numel() > 0) {
    const int64_t low = ids.min().item<int64_t>(), high = ids.max().item<int64_t>();
    if (low < 0 || high >= config_.vocab)
      throw InputError("[decoder] token id {} is outside the vocabulary of {}", low < 0 ? low : high, config_.vocab);
  }
  const at::Tensor x = lookup_rows(weights_.embedding, ids);
  // Gemma rounds its scale to the embedding's type; in f32 that is the exact root.
  return config_.embedding_scale == 1 ? x : x * config_.embedding_scale;
}

at::Tensor Decoder::attention_input(int64_t layer, const at::Tensor& x) const {
  return rms_norm(x, weights_.layers[layer].attention_norm, config_.norm_eps);
}

Projected Decoder::project(int64_t layer, const at::Tensor& normed, const AdapterSet* adapters) const {
  const LayerWeights& w = weights_.layers[layer];
  const LinearWeight* parts[] = {&w.q, &w.k, &w.v};
  auto qkv = linear(normed, parts, compute_);
  if (adapters) {
    constexpr Target targets[] = {Target::q, Target::k, Target::v};
    // Rounded once for all of them, since every pair keeps its input for the gradient.
    const at::Tensor input = normed.to(qkv[0].scalar_type());
    for (size_t i = 0; i < 3; ++i)
      qkv[i] = add_lora(qkv[i], input, adapters->pair(layer, targets[i]), adapters->config());
  }
  const auto heads = [&](const at::Tensor& y) {
    return y.view({y.size(0), y.size(1), -1, config_.d_h}).transpose(1, 2);
  };
  Projected p{heads(qkv[0]), heads(qkv[1]), heads(qkv[2])};
  if (config_.qk_norm) {
    p.q = rms_norm(p.q, w.q_norm, config_.norm_eps).to(p.v.scalar_type());
    p.k = rms_norm(p.k, w.k_norm, config_.norm_eps).to(p.v.scalar_type());
  }
  return p;
}

at::Tensor Decoder::rotate(int64_t layer, const at::Tensor& x, const at::Tensor& positions) const {
  const RopeConfig& rope = config_.kinds[layer].local_rope ? config_.local_rope : config_.rope;
  return steno::rotate(x, rotary_table(rope, config_.d_h, positions));
}

at::Tensor Decoder::finish(int64_t layer, const at::Tensor& x, const at::Tensor& attended,
                           const AdapterSet* adapters) const {
  const LayerWeights& w = weights_.layers[layer];
  const auto adapted = [&](at::Tensor y, const at::Tensor& in, Target target) {
    return adapters ? add_lora(y, in, adapters->pair(layer, target), adapters->config()) : y;
  };
  at::Tensor out = adapted(linear(attended, w.o, compute_), attended, Target::o);
  if (config_.sandwich_norm) out = rms_norm(out, w.post_attention_norm, config_.norm_eps);
  // Under bf16 training the residual stream stays f32 and everything beside it is bf16.
  const bool fused = (records(x) || records(out)) && !records(w.mlp_norm) && fits_norm_kernels(x, out);
  at::Tensor h, normed;
  if (fused) {
    std::tie(h, normed) = differentiable_add_norm(x, out, w.mlp_norm, config_.norm_eps);
  } else {
    h = x + out;
    normed = rms_norm(h, w.mlp_norm, config_.norm_eps);
  }
  const LinearWeight* parts[] = {&w.gate, &w.up};
  const auto gate_up = linear(normed, parts, compute_);
  const at::Tensor inner =
      activate(adapted(gate_up[0], normed, Target::gate), adapted(gate_up[1], normed, Target::up), config_.activation);
  at::Tensor mlp = adapted(linear(inner, w.down, compute_), inner, Target::down);
  if (config_.sandwich_norm) mlp = rms_norm(mlp, w.post_mlp_norm, config_.norm_eps);
  return fused && fits_norm_kernels(h, mlp) ? differentiable_add(h, mlp) : h + mlp;
}

at::Tensor Decoder::final_norm(const at::Tensor& x) const { return rms_norm(x, weights_.final_norm, config_.norm_eps); }

at::Tensor Decoder::head(const at::Tensor& hidden) const {
  return linear(hidden, weights_.head, compute_).to(at::kFloat);
}

std::vector<Output> Decoder::run_together(std::span<const Input* const> inputs) const {
  if (std::all_of(inputs.begin(), inputs.end(), [&](const Input* in) { return fits_step(*this, *in); }))
    return step(*this, inputs);
  std::vector<Output> outputs;
  for (const Input* in : inputs) outputs.push_back(run(*in));
  return outputs;
}

Output Decoder::run(const Input& in) const {
  if (fits_step(*this, in)) {
    const Input* one = &in;
    return std::move(step(*this, std::span(&one, 1))[0]);
  }
  at::Tensor x = in.embeddings.defined() ? in.embeddings.to(at::kFloat) : embed(in.ids);
  const int64_t batch = x.size(0), steps = x.size(1);
  const int64_t rows = rows_of(in, 0);
  const at::Tensor positions =
      in.positions.defined()
          ? in.positions
          : at::arange(rows, rows + steps, at::kLong).unsqueeze(0).expand({batch, steps}).to(x.device());
  TORCH_CHECK(in.rows.empty() || static_cast<int64_t>(in.rows.size()) == config_.layers,
              "rows of every layer or of none");
  TORCH_CHECK(positions.dim() == 2 && positions.size(1) == steps, "positions must be [B, T]");

  const auto angles = [&](const RopeConfig& rope, const at::Tensor& at) {
    return rotary_table(rope, config_.d_h, at, in.rope_length);
  };
  const RotaryTable table = angles(config_.rope, positions);
  std::optional<RotaryTable> local, front, local_front;
  bool any_window = false;
  for (const LayerKind& kind : config_.kinds) {
    if (kind.local_rope && !local) local = angles(config_.local_rope, positions);
    any_window |= kind.window > 0;
  }
  if (in.front.rows > 0) {
    front = angles(config_.rope, in.front.query_positions);
    if (local) local_front = angles(config_.local_rope, in.front.query_positions);
  }
  TORCH_CHECK(!any_window || rows_of(in, 0) == 0 || !in.row_positions.empty(),
              "row_positions are needed by sliding-window layers");
  const bool shared_positions = in.row_positions.size() <= 1;
  std::map<int64_t, at::Tensor> window_masks;  // by window, where all layers share the positions
  const auto mask_of = [&](int64_t layer) -> at::Tensor {
    const int64_t window = config_.kinds[layer].window;
    if (window == 0) return in.mask.allowed;
    if (const auto found = window_masks.find(window); shared_positions && found != window_masks.end())
      return found->second;
    const int64_t rows = rows_of(in, layer);
    const at::Tensor keys =
        rows == 0 ? positions
                  : column_positions(in.row_positions[shared_positions ? 0 : static_cast<size_t>(layer)], positions);
    at::Tensor mask = in.mask.allowed;
    // A mask of its own is needed only when some key is out of reach.
    if (positions.max().item<int64_t>() - keys.min().item<int64_t>() >= window) {
      if (!mask.defined())
        mask = at::ones({1, 1, steps, rows + steps}, at::TensorOptions(at::kBool).device(x.device())).tril(rows);
      mask = window_mask(mask, window, positions, keys, in.front);
    }
    if (shared_positions) window_masks[window] = mask;
    return mask;
  };

  Output out;
  if (in.capture.hidden) out.hidden_states.push_back(x);
  const bool checkpoints = c10::GradMode::is_enabled() && in.checkpoint_blocks;
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const bool is_local = config_.kinds[layer].local_rope;
    BlockCall call{.capture = in.capture, .turn = is_local ? *local : table, .allowed = mask_of(layer)};
    if (front) {
      call.front = in.front.rows;
      call.turn_front = is_local ? *local_front : *front;
    }
    const LayerRows none, &layer_rows = in.rows.empty() ? none : in.rows[layer];
    x = checkpoints ? run_block_checkpointed(*this, layer, call, x, layer_rows, in.adapters, out)
                    : run_block(*this, layer, call, x, layer_rows, in.adapters, out);
    if (in.capture.hidden) out.hidden_states.push_back(x);
  }
  if (in.logits == LogitRows::last) {
    out.hidden = final_norm(x);
    out.logits = head(out.hidden.narrow(1, steps - 1, 1));
  } else if (in.logits == LogitRows::all) {
    out.hidden = final_norm(x);
    out.logits = head(out.hidden);
  } else {
    out.hidden = final_norm(x);
  }
  return out;
}

Decoder Decoder::merged(const AdapterSet& adapters) const {
  DecoderWeights weights = weights_;
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    LayerWeights& w = weights.layers[layer];
    LinearWeight* targets[kTargets] = {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down};
    for (int i = 0; i < kTargets; ++i) {
      const LoraPair& pair = adapters.pair(layer, static_cast<Target>(i));
      if (!pair.defined()) continue;
      const at::Tensor delta = at::matmul(pair.b, pair.a).to(at::kFloat) * adapters.config().scaling();
      *targets[i] = LinearWeight((targets[i]->dense(at::kFloat) + delta).to(compute_), targets[i]->bias());
    }
  }
  return Decoder(config_, std::move(weights), compute_);
}

Mask padding_mask(const at::Tensor& valid) {
  const int64_t steps = valid.size(1);
  const at::Tensor causal = at::ones({steps, steps}, valid.options().dtype(at::kBool)).tril();
  const at::Tensor self = at::eye(steps, valid.options().dtype(at::kBool));
  // [B, 1, T, T]: keys that are valid and not later, or the query itself.
  return {causal.logical_and(valid.unsqueeze(1)).logical_or(self).unsqueeze(1)};
}

}  // namespace steno
