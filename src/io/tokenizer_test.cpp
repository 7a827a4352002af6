// Ids against the references (tests/golden/make_tokenizer_vectors.py), and what must hold for any text.
#include "io/tokenizer.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/utf8.h"
#include "io/tokenizer_test_util.h"
#include "io/unicode.h"

namespace steno {
namespace {

using test::load_tokenizer;

void check_vectors(const Tokenizer& tokenizer, const std::string& name) {
  const auto cases = nlohmann::json::parse(test::read_file(test::tokenizer_data() / (name + ".vectors.json")));
  ASSERT_GT(cases.size(), 50u);
  for (const auto& one : cases) {
    const std::string text = one["text"];
    const auto ids = [&](bool add, bool special) {
      return tokenizer.encode(text, {.add_special = add, .parse_special = special});
    };
    EXPECT_EQ(ids(false, false), one["plain"].get<std::vector<TokenId>>()) << name << ": " << one["text"];
    EXPECT_EQ(ids(false, true), one["special"].get<std::vector<TokenId>>()) << name << ": " << one["text"];
    EXPECT_EQ(ids(true, true), one["added"].get<std::vector<TokenId>>()) << name << ": " << one["text"];
  }
}

class TokenizerVectors : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectors, IdsOfTheReference) { check_vectors(*load_tokenizer(GetParam()), GetParam()); }

INSTANTIATE_TEST_SUITE_P(All, TokenizerVectors,
                         testing::Values("ggml-vocab-gpt-2.gguf", "ggml-vocab-phi-3.gguf", "qwen3.tokenizer.json.zst",
                                         "tiny-spm.json", "tiny-metaspace.json", "tiny-steps.json", "tiny-split.json",
                                         "tiny-smollm.gguf", "tiny-default.gguf", "tiny-llama-bpe.gguf",
                                         "tiny-qwen2.gguf"));

TEST(Tokenizer, IdsOfTheDefaultModel) {
  const char* named = std::getenv("STENO_MODEL");
  const std::filesystem::path model = named ? named : STENO_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "the default model is not there: " << model;
  const auto tokenizer = Tokenizer::from_gguf(*GgufFile::open(model));
  check_vectors(*tokenizer, "default-model");
  EXPECT_EQ(tokenizer->kind(), "bpe/smollm");
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->end_of_generation(), (std::vector<TokenId>{2, 0}));
  EXPECT_FALSE(tokenizer->chat_template().empty());
}

class LlamaCppVectors : public testing::TestWithParam<const char*> {};

TEST_P(LlamaCppVectors, EveryLine) {
  const auto tokenizer = load_tokenizer(GetParam());
  const auto path = (test::tokenizer_data() / GetParam()).string();
  const std::string texts = test::read_file(path + ".inp");
  std::istringstream lines(test::read_file(path + ".out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int count = 0;
  for (size_t at = 0; at <= texts.size(); ++count) {
    const size_t end = std::min(texts.find(separator, at), texts.size());
    std::string line;
    std::getline(lines, line);
    std::istringstream numbers(line);
    const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
    EXPECT_EQ(tokenizer->encode(texts.substr(at, end - at), {.add_special = false, .parse_special = false}), expected)
        << "text " << count;
    at = end + separator.size();
  }
  EXPECT_EQ(count, 47);
}

INSTANTIATE_TEST_SUITE_P(All, LlamaCppVectors, testing::Values("ggml-vocab-gpt-2.gguf", "ggml-vocab-phi-3.gguf"));

std::string random_text() {
  static const std::vector<std::string> parts = {
      "a", "the", " ",  "  ",         "\n",  "\r\n", "é",  "e\xCC\x81", "中",       "ภ", "🦙", "👨‍👩‍👧",
      "1", "42",  "'s", "<|im_end|>", "<s>", "▁",    "\t", "!",         "\xC2\xA0", "Ω"};
  std::string text;
  for (const auto& part : *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(parts))) text += part;
  for (const auto c : *rc::gen::container<std::vector<char32_t>>(rc::gen::inRange<char32_t>(1, 0x2000)))
    if (c < 0xD800) append_character(text, static_cast<int32_t>(c));
  return text;
}

RC_GTEST_PROP(Tokenizer, ByteLevelGivesBackAnyUtf8, ()) {
  static const auto gpt2 = load_tokenizer("ggml-vocab-gpt-2.gguf");
  static const auto tiny = load_tokenizer("tiny-qwen2.gguf");
  const std::string text = random_text();
  RC_ASSERT(find_invalid_utf8(text) == std::string::npos);
  RC_ASSERT(gpt2->decode(gpt2->encode(text)) == text);
  RC_ASSERT(tiny->decode(tiny->encode(text)) == text);
}

RC_GTEST_PROP(Tokenizer, AnyBytesComeBack, (const std::string& noise)) {
  static const auto gpt2 = load_tokenizer("ggml-vocab-gpt-2.gguf");
  static const auto phi3 = load_tokenizer("ggml-vocab-phi-3.gguf");
  const std::string text = random_text() + noise + random_text();
  const EncodeOptions plain{.add_special = false, .parse_special = false};
  RC_ASSERT(gpt2->decode(gpt2->encode(text, plain)) == text);
  // "▁" and a space are one thing in a SentencePiece vocabulary.
  if (text.find("▁") == std::string::npos) RC_ASSERT(phi3->decode(phi3->encode(text, plain)) == text);
}

RC_GTEST_PROP(StreamDecoder, SumIsTheTextAndNoCharacterIsCut, (const std::string& noise)) {
  static const std::vector<std::shared_ptr<const Tokenizer>> tokenizers = {load_tokenizer("ggml-vocab-gpt-2.gguf"),
                                                                           load_tokenizer("ggml-vocab-phi-3.gguf"),
                                                                           load_tokenizer("tiny-spm.json")};
  const std::string text = random_text();
  for (const auto& tokenizer : tokenizers) {
    for (const bool skip : {false, true}) {
      const auto ids = tokenizer->encode(text);
      StreamDecoder decoder(tokenizer, skip);
      std::string sum;
      for (const TokenId id : ids) {
        const std::string part = decoder.push(id);
        RC_ASSERT(find_invalid_utf8(part) == std::string::npos);
        sum += part;
      }
      RC_ASSERT(decoder.flush().empty());
      RC_ASSERT(sum == tokenizer->decode(ids, skip));
      // The same for bytes that are no UTF-8: nothing is lost.
      const auto noisy = tokenizer->encode(text + noise);
      StreamDecoder fresh(tokenizer, skip);
      sum.clear();
      for (const TokenId id : noisy) sum += fresh.push(id);
      sum += fresh.flush();
      RC_ASSERT(sum == tokenizer->decode(noisy, skip));
    }
  }
}

TEST(StreamDecoder, HoldsBackHalfACharacter) {
  const std::shared_ptr<const Tokenizer> tokenizer = load_tokenizer("ggml-vocab-phi-3.gguf");
  StreamDecoder decoder(tokenizer);
  const auto byte = [&](const char* name) { return tokenizer->find(name).value(); };
  EXPECT_EQ(decoder.push(tokenizer->find("▁the").value()), "the");  // the space in front is the tokenizer's own
  EXPECT_EQ(decoder.push(tokenizer->find("▁the").value()), " the");
  EXPECT_EQ(decoder.push(byte("<0xF0>")), "");
  EXPECT_EQ(decoder.push(byte("<0x9F>")), "");
  EXPECT_EQ(decoder.push(byte("<0xA6>")), "");
  EXPECT_EQ(decoder.push(byte("<0x99>")), "🦙");
  EXPECT_EQ(decoder.push(byte("<0xE2>")), "");
  EXPECT_EQ(decoder.flush(), "\xE2");
}

TEST(Tokenizer, LongWordsStayQuick) {
  // A quadratic merge would need hours for this.
  const auto gpt2 = load_tokenizer("ggml-vocab-gpt-2.gguf");
  const auto phi3 = load_tokenizer("ggml-vocab-phi-3.gguf");
  for (const char* part : {"a", "ab", "é", "<"}) {
    std::string word;
    while (word.size() < 1'000'000) word += part;
    EXPECT_EQ(gpt2->decode(gpt2->encode(word)), word);
    EXPECT_EQ(phi3->decode(phi3->encode(word, {.add_special = false})), word);
  }
}

TEST(Tokenizer, SpaceRunsOfAnyLength) {
  const auto gpt2 = load_tokenizer("ggml-vocab-gpt-2.gguf");
  const auto qwen = load_tokenizer("tiny-qwen2.gguf");
  const std::string text = std::string(300'000, ' ') + "x" + std::string(300'000, '\n') + "y";
  EXPECT_EQ(gpt2->decode(gpt2->encode(text)), text);
  EXPECT_EQ(qwen->decode(qwen->encode(text)), text);
}

TEST(Tokenizer, BytesWithoutATokenAreNamed) {
  const auto tokenizer = load_tokenizer("tiny-metaspace.json");
  try {
    tokenizer_from_json(
        R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}})",
        "", "one.json")
        ->encode("aab");
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "[tokenizer] one.json: no token for byte 0x62 at offset 2 of the text");
  }
}

TEST(Tokenizer, IdsOutsideTheVocabulary) {
  const auto tokenizer = load_tokenizer("tiny-qwen2.gguf");
  for (const TokenId id : {-1, static_cast<TokenId>(tokenizer->vocab_size()), 1 << 30}) {
    EXPECT_THROW(tokenizer->decode({&id, 1}), InputError);
    EXPECT_THROW(tokenizer->piece(id), InputError);
    EXPECT_THROW(tokenizer->is_special(id), InputError);
  }
}

TEST(Tokenizer, ManyThreadsOneTokenizer) {
  const auto tokenizer = load_tokenizer("ggml-vocab-phi-3.gguf");
  const std::string text = test::read_file(test::tokenizer_data() / "ggml-vocab-phi-3.gguf.inp");
  const auto expected = load_tokenizer("ggml-vocab-phi-3.gguf")->encode(text);
  std::vector<std::vector<TokenId>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = tokenizer->encode(text); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
}  // namespace steno
