// Vocabularies that are damaged or not supported: one clear error each.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/gguf_test_util.h"
#include "io/mutate_test_util.h"
#include "io/tokenizer_test_util.h"

namespace steno {
namespace {

using nlohmann::json;

json small_json() {
  json vocab = json::object();
  int id = 0;
  for (const char* token : {"a", "b", "c", "Ġ", "ab", "abc", "Ġa"}) vocab[token] = id++;
  return {
      {"added_tokens", {{{"id", 7}, {"content", "<|end|>"}, {"special", true}, {"rstrip", true}}}},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", " ?\\p{L}+|\\s+"}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "Digits"}, {"individual_digits", true}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"Sequence", {{"id", "A"}}}}, {{"SpecialToken", {{"id", "<|end|>"}}}}}},
        {"special_tokens", {{"<|end|>", {{"id", "<|end|>"}, {"ids", {7}}}}}}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array({"a b", "ab c", "Ġ a"})}}}};
}

void expect_refused(const std::string& text, const std::string& part) {
  try {
    tokenizer_from_json(text, "", "t.json");
    ADD_FAILURE() << "accepted; wanted: " << part;
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << "\nwanted: " << part;
    EXPECT_TRUE(std::string(error.what()).starts_with("[tokenizer] t.json")) << error.what();
  }
}

void expect_refused(const std::function<void(json&)>& damage, const std::string& part) {
  json tree = small_json();
  damage(tree);
  expect_refused(tree.dump(), part);
}

TEST(TokenizerJson, SmallOneWorks) {
  const auto tokenizer = tokenizer_from_json(small_json().dump(), "", "t.json");
  EXPECT_EQ(tokenizer->encode("ABC abc<|end|> a"), (std::vector<TokenId>{5, 3, 5, 7, 0, 7}));
}

TEST(TokenizerJson, MergesThatCannotBe) {
  const auto add = [](json merge) { return [merge](json& tree) { tree["model"]["merges"].push_back(merge); }; };
  expect_refused(add({"", "a"}), "empty part");  // a merge that goes round for ever
  expect_refused(add({"a", ""}), "empty part");
  expect_refused(add({"a", "b"}), "is there twice");
  expect_refused(add({"a", "x"}), "names 'x', which is not in the vocabulary");
  expect_refused(add({"b", "c"}), "names 'bc', which is not in the vocabulary");
  expect_refused(add("ab"), "not of the form");
  expect_refused(add(3), "neither a text nor a pair");
  expect_refused(add({"a", "b", "c"}), "neither a text nor a pair");
  expect_refused([](json& tree) { tree["model"]["merges"] = 1; }, "model.merges: not a list");
}

TEST(TokenizerJson, IdsThatCannotBe) {
  const auto set = [](const char* token, json id) { return [=](json& tree) { tree["model"]["vocab"][token] = id; }; };
  expect_refused(set("a", 1), "is given to");
  expect_refused(set("a", 99), "out of range");
  expect_refused(set("a", -1), "not a whole number");
  expect_refused(set("a", 0.5), "not a whole number");
  expect_refused(set("a", "0"), "not a whole number");
  expect_refused([](json& tree) { tree["model"]["vocab"].erase("c"); }, "ids must follow without a gap");
  expect_refused([](json& tree) { tree["model"]["vocab"] = json::array(); }, "not an object");
  expect_refused([](json& tree) { tree["added_tokens"][0]["id"] = 1; }, "is given to");
  expect_refused([](json& tree) { tree["added_tokens"][0]["content"] = ""; }, "empty");
  expect_refused([](json& tree) { tree["added_tokens"][0]["special"] = 1; }, "neither true nor false");
  expect_refused([](json& tree) { tree["post_processor"]["special_tokens"]["<|end|>"]["ids"][0] = 8; }, "out of range");
}

TEST(TokenizerJson, WhatIsNotSupportedIsNamed) {
  expect_refused([](json& tree) { tree["model"]["type"] = "Unigram"; }, "'Unigram' is not supported");
  expect_refused([](json& tree) { tree["model"]["dropout"] = 0.1; }, "dropout");
  expect_refused([](json& tree) { tree["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix");
  expect_refused([](json& tree) { tree["normalizer"]["type"] = "Precompiled"; }, "'Precompiled' is not supported");
  expect_refused([](json& tree) { tree["pre_tokenizer"] = {{"type", "Whitespace"}}; }, "'Whitespace' is not supported");
  expect_refused([](json& tree) { tree["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }, "drops parts");
  expect_refused([](json& tree) { tree["decoder"]["type"] = "WordPiece"; }, "'WordPiece' is not supported");
  expect_refused([](json& tree) { tree["model"]["unk_token"] = "<unk>"; }, "unk_token '<unk>'");
}

TEST(TokenizerJson, Patterns) {
  const auto pattern = [](const char* text) {
    return [text](json& tree) { tree["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = text; };
  };
  expect_refused(pattern("(a"), "pattern '(a'");
  expect_refused(pattern("[z-a]"), "pattern '[z-a]'");
  expect_refused(pattern("[\\p{L}&&[^a]]"), "not supported");
  expect_refused(pattern("\\h"), "\\h is not supported");
  expect_refused(pattern("\\C"), "pattern");
  expect_refused(pattern(std::string(200, '(').append(200, ')').c_str()), "pattern");
  json slow = small_json();
  slow["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a|aa|aaa)*\\d";
  const auto tokenizer = tokenizer_from_json(slow.dump(), "", "t.json");
  try {
    tokenizer->encode(std::string(200, 'a'));
    ADD_FAILURE() << "matched";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("cannot be matched"), std::string::npos) << error.what();
  }
}

TEST(TokenizerJson, TextsThatAreNoJson) {
  expect_refused("", "not valid JSON");
  expect_refused("[]", "not an object");
  expect_refused("{}", "'model' is missing");
  expect_refused("{\"model\": \"\xFF\"}", "not valid JSON");
  expect_refused(std::string(1'000'000, '['), "nested deeper");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}})", "twice");
}

TEST(TokenizerJson, AnyDamageIsAnErrorOrATokenizer) {
  const std::string whole = small_json().dump();
  const auto counts = test::check_mutations(whole, 30'000, 1, [](const std::string& text) {
    const auto tokenizer = tokenizer_from_json(text, "", "t.json");
    (void)tokenizer->decode(tokenizer->encode("abc ab<|end|> ca"), true);
  });
  EXPECT_GT(counts.refused, 10'000);
  EXPECT_GT(counts.accepted, 100);
}

std::string small_gguf(bool scores) {
  test::GgufBuilder file;
  file.add("tokenizer.ggml.model", scores ? "llama" : "gpt2");
  if (scores) {
    file.add_array<std::string>("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x61>", "▁", "a", "b", "ab", "▁a"});
    file.add_array<float>("tokenizer.ggml.scores", {0, 0, 0, 0, -3, -4, -5, -1, -2});
    file.add_array<int32_t>("tokenizer.ggml.token_type", {2, 3, 3, 6, 1, 1, 1, 1, 1});
  } else {
    file.add("tokenizer.ggml.pre", "smollm");
    file.add_array<std::string>("tokenizer.ggml.tokens",
                                {"<|s|>", "<|x|>", "<|end|>", "a", "b", "ab", "Ġ", "Ġa", "aba"});
    file.add_array<std::string>("tokenizer.ggml.merges", {"a b", "Ġ a", "ab a"});
    file.add_array<int32_t>("tokenizer.ggml.token_type", {3, 4, 3, 1, 1, 1, 1, 1, 1});
  }
  file.add<uint32_t>("tokenizer.ggml.unknown_token_id", 0)
      .add<uint32_t>("tokenizer.ggml.bos_token_id", 1)
      .add<uint32_t>("tokenizer.ggml.eos_token_id", 2);
  return file.add("tokenizer.ggml.add_bos_token", true).build();
}

std::shared_ptr<const Tokenizer> parse_gguf(const std::string& bytes) {
  return Tokenizer::from_gguf(*GgufFile::parse(MappedFile::from_bytes("t.gguf", bytes)));
}

void expect_gguf_refused(const std::function<void(test::GgufBuilder&)>& fill, const std::string& part) {
  test::GgufBuilder file;
  fill(file);
  try {
    parse_gguf(file.build());
    ADD_FAILURE() << "accepted; wanted: " << part;
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << "\nwanted: " << part;
  }
}

TEST(TokenizerGguf, VocabulariesThatCannotBe) {
  using Strings = std::vector<std::string>;
  const auto bpe = [](const Strings& tokens, const Strings& merges, const char* pre = "gpt-2") {
    return [=](test::GgufBuilder& file) {
      file.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", pre);
      file.add_array("tokenizer.ggml.tokens", tokens).add_array("tokenizer.ggml.merges", merges);
    };
  };
  expect_gguf_refused([](test::GgufBuilder&) {}, "tokenizer.ggml.model");
  expect_gguf_refused([](test::GgufBuilder& file) { file.add("tokenizer.ggml.model", "bert"); },
                      "'bert' is not supported");
  expect_gguf_refused(bpe({"a", "b"}, {}, "deepseek-llm"), "'deepseek-llm' is not supported; supported: smollm");
  expect_gguf_refused(bpe({}, {}), "empty");
  expect_gguf_refused(bpe({"a", "a"}, {}), "tokens 0 and 1 are both 'a'");
  expect_gguf_refused(bpe({"a", ""}, {}), "token 1 is empty");
  expect_gguf_refused(bpe({"a", "\xFF"}, {}), "token 1 is not valid UTF-8");
  expect_gguf_refused(bpe({"a", "b"}, {"ab"}), "not of the form");
  expect_gguf_refused(bpe({"a", "b"}, {"a b"}), "names 'ab'");
  expect_gguf_refused(bpe({"a", "b", "ab"}, {"a b", "a b"}), "is there twice");
  const auto spm = [](const std::vector<float>& scores, const std::vector<int32_t>& types, uint32_t bos) {
    return [=](test::GgufBuilder& file) {
      file.add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.bos_token_id", bos);
      file.add_array<std::string>("tokenizer.ggml.tokens", {"a", "b"}).add_array("tokenizer.ggml.scores", scores);
      file.add_array("tokenizer.ggml.token_type", types);
    };
  };
  expect_gguf_refused(spm({0}, {1, 1}, 0), "2 tokens, but 1 scores");
  expect_gguf_refused(spm({0, NAN}, {1, 1}, 0), "not a number");
  expect_gguf_refused(spm({0, 0}, {1}, 0), "2 tokens, but 1 token types");
  expect_gguf_refused(spm({0, 0}, {1, 9}, 0), "token_type of token 1 is 9");
  expect_gguf_refused(spm({0, 0}, {1, 6}, 0), "byte token");
  expect_gguf_refused(spm({0, 0}, {1, 1}, 2), "bos_token_id is 2");
}

TEST(TokenizerGguf, AnyDamageIsAnErrorOrATokenizer) {
  for (const bool scores : {false, true}) {
    const auto counts = test::check_mutations(small_gguf(scores), 10'000, 2, [](const std::string& bytes) {
      const auto tokenizer = parse_gguf(bytes);
      (void)tokenizer->decode(tokenizer->encode("aba ab<|end|>"), true);
    });
    EXPECT_GT(counts.refused, 1'000);
    EXPECT_GT(counts.accepted, 100);
  }
}

}  // namespace
}  // namespace steno
