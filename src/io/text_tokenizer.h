// The tokenizer that both loaders build: added tokens, normaliser, words, BPE, and back.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/added_tokens.h"
#include "io/bpe_model.h"
#include "io/normalizer.h"
#include "io/pretokenizer.h"
#include "io/tokenizer.h"
#include "io/vocabulary.h"

namespace steno {

struct TokenizerParts {
  std::string kind;   // "bpe/smollm"
  std::string where;  // begins the messages: "[tokenizer] model.gguf"
  std::unique_ptr<const Vocabulary> vocabulary;
  std::unique_ptr<const BpeModel> model;
  AddedTokens added;  // looked for in the text as it is
  Normalizer normalizer;
  AddedTokens added_normalized;  // looked for after the normaliser
  PreTokenizer pretokenizer;
  std::vector<TokenId> prefix, suffix;  // around a text when EncodeOptions::add_special
  bool strip_leading_space = false;     // the space that encoding put in front is taken off again
  std::optional<TokenId> bos, eos, pad;
  std::vector<TokenId> end_of_generation;
  std::string chat_template;
};

// Names of tokens that end a turn or a text in the model families that steno reads.
bool ends_generation(std::string_view token);
// Fills parts.end_of_generation from EOS and from the names. Throws InputError when bos, eos, pad, prefix or suffix are
// no ids of the vocabulary.
std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerParts parts);

}  // namespace steno
