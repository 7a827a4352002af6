// A decoder-only transformer as a function of its arguments. Weights are immutable and shared by every conversation,
// thread and training step; whatever differs from call to call is in Input, whatever comes out is in Output.
//
// Shapes: B batch, T tokens of this call, S rows read besides, H query heads, H_kv key/value heads, d_h head width,
// d = d_model, V vocabulary.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/linear.h"
#include "model/lora.h"

namespace steno {

// Rows that a layer reads before the tokens of this call. Keys are already rotated; they are never rotated again.
struct LayerRows {
  at::Tensor k, v;  // [B, H_kv, S, d_h], or with `in_place` [B, H_kv, >= used + T, d_h]
  // In place (inference only): rows [0, used) are read and this call's keys and values are written to rows
  // [used, used + T) of the same tensors, so that nothing is concatenated.
  bool in_place = false;
  int64_t used = 0;
};

// Who reads what. Column order: the rows of LayerRows, then the tokens of this call.
struct Mask {
  // Undefined: every token reads all rows and the tokens of this call up to itself. Otherwise bool, true = may read,
  // [B or 1, 1, T, S + T]; it replaces the causal rule and is shared by all layers.
  at::Tensor allowed;
};

// Some rows may be seen from another distance than positions say: the first `rows` columns (of rows and own tokens
// together) are read by queries that stand at `query_positions` instead, for rotations and sliding windows alike. This
// is how packed positions (StreamingLLM: sinks directly before the window) cost no second rotation of any key.
struct Front {
  int64_t rows = 0;
  at::Tensor query_positions;  // [B, T] int64
};

struct Capture {
  bool hidden = false;             // residual stream: after the embedding and after every block
  bool attention_input = false;    // each layer's normed attention input
  bool queries = false;            // rotated queries
  bool kv = false;                 // this call's rotated keys and values (always there when rows are in place)
  bool unrotated_keys = false;     // this call's keys before the rotation
  bool unrotated_queries = false;  // likewise
  bool mass = false;               // attention received by every column, see AttentionReceived
  bool peak = false;               // likewise the largest share of a query
  bool operator==(const Capture&) const = default;
};

enum class LogitRows { none, last, all };

struct Input {
  at::Tensor ids;         // [B, T] int64, or
  at::Tensor embeddings;  // [B, T, d]: used as they are (Gemma's scale is not applied)
  at::Tensor positions;   // [B, T] int64; undefined: S, S+1, ...
  // Positions in use, which only dynamic RoPE scaling looks at; 0: the largest position + 1. Where positions are ranks
  // among few kept rows, this is their number, however far the text has come.
  int64_t rope_length = 0;
  Mask mask;
  Front front;
  std::vector<LayerRows> rows;  // empty, or [layers]
  // Needed only by models with sliding-window layers: one tensor for all layers or one each, [B, S] int64, or
  // [B, H_kv, S] where every key/value head keeps rows of its own.
  std::vector<at::Tensor> row_positions;
  const AdapterSet* adapters = nullptr;  // not owned
  // Training: blocks keep their inputs only and run again in the backward pass (activation_checkpoint.h), with the same
  // bits. The decoder must live until then.
  bool checkpoint_blocks = false;
  Capture capture;
  LogitRows logits = LogitRows::last;
};

struct LayerKv {
  at::Tensor k, v;  // [B, H_kv, T, d_h]
};

struct Output {
  at::Tensor hidden;                          // [B, T, d] f32, after the final norm
  at::Tensor logits;                          // [B, 1, V] or [B, T, V] f32; undefined for LogitRows::none
  std::vector<at::Tensor> hidden_states;      // [layers + 1] of [B, T, d]
  std::vector<at::Tensor> attention_inputs;   // [layers] of [B, T, d]
  std::vector<at::Tensor> queries;            // [layers] of [B, H, T, d_h]
  std::vector<LayerKv> kv;                    // [layers]
  std::vector<at::Tensor> unrotated_keys;     // [layers] of [B, H_kv, T, d_h]
  std::vector<at::Tensor> unrotated_queries;  // [layers] of [B, H, T, d_h]
  std::vector<at::Tensor> mass;               // [layers] of [B, H, S + T] f32: sum over this call's queries
  std::vector<at::Tensor> peak;               // [layers] of [B, H, S + T] f32
};

struct LayerWeights {
  at::Tensor attention_norm, mlp_norm;            // [d] f32
  at::Tensor q_norm, k_norm;                      // [d_h] f32, with ModelConfig::qk_norm
  at::Tensor post_attention_norm, post_mlp_norm;  // [d] f32, with ModelConfig::sandwich_norm
  LinearWeight q, k, v, o, gate, up, down;
};

struct DecoderWeights {
  LinearWeight embedding;  // [V, d], rows are looked up
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // [d] f32
  LinearWeight head;      // [V, d]; the embedding where ModelConfig::tied_head
};

// Queries, keys and values of one layer before the rotation, heads normed where the family does so.
struct Projected {
  at::Tensor q;     // [B, H, T, d_h]
  at::Tensor k, v;  // [B, H_kv, T, d_h]
};

class Decoder {
 public:
  // `compute`: dtype of matrix products and of the keys and values this decoder makes (bf16 or f32). The residual
  // stream, norms and softmax are f32 always.
  Decoder(ModelConfig config, DecoderWeights weights, at::ScalarType compute);

  const ModelConfig& config() const { return config_; }
  const DecoderWeights& weights() const { return weights_; }
  at::ScalarType compute_dtype() const { return compute_; }
  at::Device device() const { return weights_.final_norm.device(); }

  // Records gradients when GradMode is on and something in `input` asks for them. Safe from any number of threads.
  // Throws InputError for ids outside the vocabulary; asserts shapes.
  Output run(const Input& input) const;
  // The same for several independent calls. One token each of several sequences is decoded together, so that the
  // weights are read once (step.h); anything else runs one after the other.
  std::vector<Output> run_together(std::span<const Input* const> inputs) const;

  // The steps that run() is made of, for methods with a loop of their own.
  at::Tensor embed(const at::Tensor& ids) const;  // [B, T] -> [B, T, d] f32
  // Normed attention input of a layer. x [B, T, d] f32 -> [B, T, d] f32.
  at::Tensor attention_input(int64_t layer, const at::Tensor& x) const;
  Projected project(int64_t layer, const at::Tensor& normed, const AdapterSet* adapters) const;
  // Keys or queries [B, *, T, d_h] turned to `positions` [B, T] with this layer's frequencies.
  at::Tensor rotate(int64_t layer, const at::Tensor& x, const at::Tensor& positions) const;
  // Output projection, residual and MLP. x [B, T, d], attended [B, T, H * d_h] -> [B, T, d].
  at::Tensor finish(int64_t layer, const at::Tensor& x, const at::Tensor& attended, const AdapterSet* adapters) const;
  at::Tensor final_norm(const at::Tensor& x) const;
  // Hidden states after final_norm -> logits f32 [.., V].
  at::Tensor head(const at::Tensor& hidden) const;

  // A decoder whose targeted layers have the adapter's product added (dense copies of those layers; the rest is
  // shared).
  Decoder merged(const AdapterSet& adapters) const;

 private:
  ModelConfig config_;
  DecoderWeights weights_;
  at::ScalarType compute_;
};

// Mask for right- or left-padded batches: `valid` [B, T] bool, causal among valid tokens (a padding row reads itself
// only, so that no softmax is empty).
Mask padding_mask(const at::Tensor& valid);

}  // namespace steno
