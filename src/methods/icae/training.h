// The settings of ICAE's training, one list of fields.
#pragma once
#include <memory>
#include <string>

#include "methods/icae/adapter.h"
#include "train/objective.h"

namespace steno::icae {

struct TrainingParams {
  std::string adapter;
  int64_t k = 128, ratio = 4, rank = 32;
  double alpha = 32, dropout = 0;
  std::string init = "embedding";
  bool memory_head = false;
  bool lm_token = false;
  std::string bos = "auto";
  std::string eos;
  std::string frame;
  double lm_ratio = 0.5;
  double multi_span_share = 0.1;
  int64_t window = 0;
  std::string spans = "fixed";
  std::string positions = "standard";
  int64_t leave_tokens_for_lm = 8, min_tokens_for_lm = 64;
  int64_t pass_tokens = 4096;
  bool checkpoint = false;
  std::string storage = "f32";

  template <class F>
  void visit(F&& f) {
    f("adapter", adapter, "folder of an adapter to start from; empty: a fresh one");
    f("k", k, "slots per span");
    f("ratio", ratio, "tokens per slot; a span has k * ratio tokens");
    f("rank", rank, "rank of the LoRA pairs on q and v");
    f("alpha", alpha, "their scale is alpha / rank");
    f("dropout", dropout, "on the input of the LoRA pairs");
    f("init", init, "new embeddings are drawn like the model's own (embedding) or from N(0, 1) (normal)");
    f("memory_head", memory_head, "two linear layers after the encoder");
    f("lm_token", lm_token, "a task token before a continuation");
    f("bos", bos, "BOS opens the first span: auto (where the tokenizer adds one), on, off");
    f("eos", eos, "token that ends what is written; empty: the tokenizer's own");
    f("frame", frame,
      "template of instructions: a chat format by name, mistral-icae (as published), none; empty: the model's own");
    f("lm_ratio", lm_ratio, "mix: how often a text is continued instead of rebuilt");
    f("multi_span_share", multi_span_share, "share of the texts that may be longer than one span");
    f("window", window, "their longest length, and that of a context of an instruction, in tokens; 0: four spans");
    f("spans", spans, "fixed (all but the last are full, as stored memories) or balanced (of equal length)");
    f("positions", positions, "of slots: behind each other (standard) or among those of their text (enhanced)");
    f("leave_tokens_for_lm", leave_tokens_for_lm, "first tokens of a continuation without a loss");
    f("min_tokens_for_lm", min_tokens_for_lm, "where at most so many tokens follow, the sample is rebuilt instead");
    f("pass_tokens", pass_tokens, "padded tokens of the decoder per pass: the memory that training needs");
    f("checkpoint", checkpoint, "blocks run twice instead of keeping what the backward pass needs");
    f("storage", storage, "numbers of saved adapters: f32 or bf16");
  }
};

// "ae", "lm", "ft", "mix". Throws UsageError, InputError (no token to end a text with; a base that does not fit).
std::unique_ptr<Objective> open_training(const Model& model, const std::string& objective, const FieldValues& values,
                                         uint64_t seed);

}  // namespace steno::icae
