// Text to token ids and back, for byte-level BPE (GPT-2 family) and SentencePiece-style BPE with byte fallback.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace steno {

class GgufFile;
using TokenId = int32_t;

struct EncodeOptions {
  bool add_special = true;    // BOS / EOS where the model's tokenizer wants them
  bool parse_special = true;  // "<|im_start|>" in the text becomes its token; false: it stays plain text
};

// Immutable after loading; safe from any number of threads.
class Tokenizer {
 public:
  // Throws InputError that names the file and what is wrong or not supported.
  static std::shared_ptr<const Tokenizer> from_gguf(const GgufFile& file);
  // A Hugging Face folder (tokenizer.json, tokenizer_config.json where present) or a tokenizer.json.
  static std::shared_ptr<const Tokenizer> from_json(const std::filesystem::path& path);

  virtual ~Tokenizer() = default;

  // Any bytes are accepted: what is not valid UTF-8 goes through byte tokens where the vocabulary has them; where it
  // has not, InputError names the byte offset. Nothing is dropped.
  virtual std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const = 0;
  // Bytes of the ids, special tokens included unless `skip_special`. Ids outside the vocabulary throw InputError.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special = false) const = 0;
  // The bytes that one id adds in the middle of a text (SentencePiece: "▁" is a space here).
  virtual std::string piece(TokenId id) const = 0;
  // The vocabulary's own spelling of an id ("Ġthe", "▁the", "<0x0A>"), for listings.
  virtual std::string_view token(TokenId id) const = 0;
  virtual std::optional<TokenId> find(std::string_view token) const = 0;

  virtual int64_t vocab_size() const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  virtual std::optional<TokenId> pad() const = 0;
  virtual bool adds_bos() const = 0;
  // Ids that end a generation: EOS, and end-of-turn tokens such as <|im_end|>, <|eot_id|>, <end_of_turn>.
  virtual const std::vector<TokenId>& end_of_generation() const = 0;
  // The model's chat template (Jinja source), empty when it has none.
  virtual std::string_view chat_template() const = 0;
  // "bpe/smollm", "spm/llama": for `inspect`.
  virtual std::string kind() const = 0;
};

// Detokenises a stream: push() returns the text that became complete; half a UTF-8 character is held back.
class StreamDecoder {
 public:
  StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true);
  std::string push(TokenId id);
  // What is left (bytes that never became a character come out as they are).
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::string pending_;  // bytes that are no character yet
  bool first_ = true;    // nothing was pushed yet that belongs to the text
};

}  // namespace steno
