// For tests only: a tokenizer of the tests and small texts to hide things in.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "eval/prompts/encoder.h"
#include "eval/prompts/filler.h"
#include "io/tokenizer_test_util.h"

namespace steno::test {

inline std::shared_ptr<const Tokenizer> gpt2_tokenizer() {
  static const auto tokenizer = load_tokenizer("ggml-vocab-gpt-2.gguf");
  return tokenizer;
}
inline std::shared_ptr<const Tokenizer> phi3_tokenizer() {
  static const auto tokenizer = load_tokenizer("ggml-vocab-phi-3.gguf");
  return tokenizer;
}
inline const PromptEncoder& plain_encoder() {
  static const PromptEncoder encoder(gpt2_tokenizer(), "plain");
  return encoder;
}

// Some prose with sentences of different lengths, paragraphs, and letters of more than one byte.
inline const Filler& prose() {
  static const Filler filler = Filler::natural(
      "prose",
      {"The ferry left at seven. Nobody on the quay had slept, and the café was shut! Was it the strike again?\n"
       "The harbour master said so; he said it twice. \"Go home.\" They stayed.\n\n\n"
       "By noon the fog had lifted from the far shore, and with it went the last excuse for waiting. "
       "A boy counted gulls. His sister, who was older, counted boats instead.",
       "Winter came early to the valley. The mill stood still for want of water, and the miller mended nets "
       "that belonged to other men. It was not his trade. He learned it anyway, knot by knot, and by the thaw "
       "he was nearly good at it."});
  return filler;
}

inline size_t count_of(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

inline std::string decoded(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const TokenRange& range) {
  return tokenizer.decode({ids.data() + range.first, static_cast<size_t>(range.last - range.first + 1)});
}

}  // namespace steno::test
