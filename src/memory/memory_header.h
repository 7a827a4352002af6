// What a memory file says about itself and its spans, and whether it belongs to a model.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "memory/compressor.h"
#include "memory/slot_codec.h"
#include "model/loader.h"

namespace steno {

// How well a span comes back from its slots (evaluation, section 3), as far as it was measured.
struct SpanScore {
  std::optional<double> token_accuracy;  // under teacher forcing, 0..1
  std::optional<double> bleu4;           // 0..1
  std::optional<double> edit_distance;   // characters, as a share of the longer text, 0..1
};

enum class SpanKind { slots, raw };  // raw: the text itself is the memory, there are no slots

struct SpanInfo {
  std::string id;      // 12 hexadecimal digits, from source, place and content; "-2" and so on for repetitions
  std::string source;  // name of the document
  // Half-open ranges of the document: its bytes, and its tokens as they were cut (a BOS in front counts as one).
  int64_t byte_begin = 0, byte_end = 0;
  int64_t token_begin = 0, token_end = 0;
  std::string text_hash;        // XXH3-128 of the document's bytes [byte_begin, byte_end)
  bool opens_document = false;  // the first span of its document
  SpanKind kind = SpanKind::slots;
  SlotType slot_type = SlotType::f32;    // of its slots; f32 where there are none
  std::map<SlotType, SpanScore> scores;  // what this span scores, or would score, when stored so
  int64_t slots = 0;                     // 0 for raw spans
  bool has_text = false;                 // text and token ids are in the file; always for raw spans
  int64_t bytes = 0;                     // of all its tensors in the file

  int64_t tokens() const { return token_end - token_begin; }
};

struct MemoryHeader {
  static constexpr int kFormatVersion = 1;

  std::string method;
  int method_version = 0;
  FieldValues params;          // the method's, as given ("adapter" is a path): for opening it again, never compared
  int64_t span_tokens = 0;     // the longest span of the compressor
  int64_t slots_per_span = 0;  // of spans that have slots
  // What the slots mean something for: "model", "tokenizer", "rope" (model/identity.h) and what the compressor names
  // ("adapter", parameters that change the slots). Hashes, or short values.
  Identity identity;
  std::map<std::string, std::string> names;  // the same keys, for people: "SmolLM2-135M-Instruct"
  FieldValues rope;                          // the settings behind identity["rope"], for messages and other programs
  std::string steno;                         // version of the program that last wrote the file
  std::string created, changed;              // UTC, "2026-02-28T23:59:59Z"
};

// The header of memories that `compressor`, of method `method` opened on `model` with `params`, writes. Reads the
// model's files once, for their hash. Times and program version are left empty.
MemoryHeader memory_header(const Model& model, const std::string& method, int method_version, const FieldValues& params,
                           const Compressor& compressor);

// Throws InputError with one line that names the first difference (method, its version, model, tokenizer, RoPE with the
// settings that differ, adapter, others), both sides by name and hash. `where` begins it.
void check_same_identity(const std::string& where, const MemoryHeader& stored, const MemoryHeader& expected);

// What would be the id of a span; add_repetition() makes it differ from ids that are taken.
std::string span_id(const SpanInfo& span);

// "2026-02-28T23:59:59Z" of now, or of the seconds in SOURCE_DATE_EPOCH where that is set (reproducible files).
std::string time_stamp();

}  // namespace steno
