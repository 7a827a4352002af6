// What an adapter was trained with, and everything a reader must do in the same way. Stored with it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"
#include "io/tokenizer.h"
#include "methods/icae/positions.h"

namespace steno::icae {

struct Settings {
  int64_t k = 128;           // slots of a span
  int64_t ratio = 4;         // a span has at most k * ratio tokens
  int64_t bos = -1;          // opens the first span of a text; -1: nothing does
  int64_t eos = -1;          // ends a reconstruction
  int64_t answer_end = -1;   // ends an answer
  std::string before;        // template of instructions, as ids: before the slots,
  std::string after;         // and between prompt and answer
  bool lm_token = false;     // [LM] stands before a continuation
  bool instruct = false;     // [FT] has been trained
  bool memory_head = false;  // slots go through two linear layers
  std::string positions = "standard";

  int64_t span_tokens() const { return k * ratio; }
  PositionLayout position_layout() const { return position_layout_named("icae", positions); }

  template <class F>
  void visit(F&& f) {
    f("k", k, "slots per span");
    f("ratio", ratio, "tokens per slot; a span has k * ratio tokens");
    f("bos", bos, "id that opens the first span of a text; -1: none");
    f("eos", eos, "id that ends a reconstruction");
    f("answer_end", answer_end, "id that ends an answer");
    f("before", before, "ids before the slots of an instruction");
    f("after", after, "ids between an instruction's prompt and its answer");
    f("lm_token", lm_token, "a task token stands before a continuation");
    f("instruct", instruct, "trained on instructions");
    f("memory_head", memory_head, "two linear layers follow the encoder");
    f("positions", positions, "of slots: standard or enhanced");
  }
};

// "1 733 16289" and back. Throws InputError for anything else than ids.
std::vector<TokenId> ids_of(const std::string& list);
std::string list_of(const std::vector<TokenId>& ids);

// The largest k * ratio that is taken: more tokens than any model reads at once.
inline constexpr int64_t kMostSpanTokens = int64_t{1} << 22;
// Throws UsageError for sizes and names that make no sense; `owner` begins the message.
void check_settings(const std::string& owner, const Settings& settings);

}  // namespace steno::icae
