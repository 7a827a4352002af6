#include "memory/generate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <csignal>
#include <deque>

#include "base/error.h"
#include "base/interrupt.h"

namespace steno {
namespace {

const std::shared_ptr<const Tokenizer>& tiny_tokenizer() {
  static const auto tokenizer =
      Tokenizer::from_json(std::string(STENO_SOURCE_DIR) + "/tests/data/tiny_models/llama_tied/tokenizer.json");
  return tokenizer;
}
// Has a token for every byte, so that characters can be cut in two.
const std::shared_ptr<const Tokenizer>& byte_tokenizer() {
  static const auto tokenizer =
      Tokenizer::from_json(std::string(STENO_SOURCE_DIR) + "/tests/data/tokenizers/tiny-spm.json");
  return tokenizer;
}

// Says its script: after the prompt the first token of the script is by far the most probable, then the next.
class ScriptedStream : public Stream {
 public:
  ScriptedStream(int64_t vocab, std::vector<TokenId> script) : vocab_(vocab), script_(std::move(script)) {}

  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override {
    if (interrupted()) throw Interrupted("interrupted after reading 0 of {} tokens", tokens.size());
    fed.insert(fed.end(), tokens.begin(), tokens.end());
    if (progress) progress(static_cast<int64_t>(tokens.size()));
    const auto rows = logits == LogitRows::all ? static_cast<int64_t>(tokens.size()) : 1;
    const at::Tensor out = at::zeros({rows, vocab_});
    for (int64_t row = 0; row < rows; ++row)  // rows that differ: token i of the prompt raises id i
      for (int64_t id = 0; id < vocab_; ++id) out[row][id] = 0.01 * static_cast<double>((id * 7 + row * 13) % 29);
    if (next_ < script_.size()) out[rows - 1][script_[next_++]] = flat ? 2.0 : 50.0;
    return {static_cast<int64_t>(fed.size()) - rows, out};
  }
  int64_t vocab() const override { return 1 << 20; }
  int64_t tokens_seen() const override { return static_cast<int64_t>(fed.size()); }
  int64_t chunk_size() const override { return 512; }
  Accounting accounting() const override { return {}; }
  std::unique_ptr<Stream> fork() const override { return std::make_unique<ScriptedStream>(*this); }
  std::vector<int64_t> kept_positions(int64_t, int64_t) const override { return {}; }
  void save(const std::string&, const Identity&) const override {}
  void load(const std::string&, const Identity&) override {}

  std::vector<TokenId> fed;
  bool flat = false;  // the script is only somewhat probable

 private:
  int64_t vocab_;
  std::vector<TokenId> script_;
  size_t next_ = 0;
};

struct Spoken {
  Generated result;
  std::vector<std::string> pieces;
  std::vector<TokenId> fed;
  std::string joined() const {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    return all;
  }
};

std::vector<TokenId> ids_of(const std::vector<std::string>& tokens, const Tokenizer& tokenizer = *tiny_tokenizer()) {
  std::vector<TokenId> ids;
  for (const std::string& token : tokens) ids.push_back(tokenizer.find(token).value());
  return ids;
}

const std::vector<TokenId> kPrompt = {66, 67, 68};

Spoken run(const std::vector<TokenId>& script, const GenerateOptions& options,
           const std::shared_ptr<const Tokenizer>& tokenizer = tiny_tokenizer()) {
  ScriptedStream stream(tokenizer->vocab_size(), script);
  Spoken out;
  out.result =
      generate(stream, tokenizer, kPrompt, options, [&](std::string_view text) { out.pieces.emplace_back(text); });
  out.fed = stream.fed;
  EXPECT_EQ(out.joined(), out.result.text) << "what was shown is the answer, once";
  for (const std::string& piece : out.pieces) EXPECT_FALSE(piece.empty());
  return out;
}

TEST(Generate, StopsAfterMaxNewTokens) {
  const auto script = ids_of({"the", "Ġa", "in", "Ġthe", "x"});
  for (const int64_t count : {0, 1, 3}) {
    const Spoken r = run(script, {.max_new_tokens = count});
    EXPECT_EQ(r.result.reason, StopReason::length);
    EXPECT_EQ(r.result.tokens, std::vector<TokenId>(script.begin(), script.begin() + count));
    // The last token is not read: nothing asks for what follows it.
    EXPECT_EQ(r.fed.size(), kPrompt.size() + static_cast<size_t>(std::max<int64_t>(count - 1, 0)));
    EXPECT_EQ(r.result.decoded_tokens, std::max<int64_t>(count - 1, 0));
  }
  EXPECT_EQ(run(script, {.max_new_tokens = 4}).result.text, "the ain the");
}

TEST(Generate, EndOfTurnEndsTheAnswerAndIsNoPartOfIt) {
  const auto script = ids_of({"the", "</s>", "in"});
  const Spoken r = run(script, {.max_new_tokens = 10});
  EXPECT_EQ(r.result.reason, StopReason::end_of_turn);
  EXPECT_EQ(r.result.tokens, ids_of({"the"}));
  EXPECT_EQ(r.result.text, "the");
  const Spoken on = run(script, {.max_new_tokens = 3, .stop_at_end_of_turn = false});
  EXPECT_EQ(on.result.reason, StopReason::length);
  EXPECT_EQ(on.result.tokens, script);
  EXPECT_EQ(on.result.text, "thein");
  EXPECT_TRUE(run(ids_of({"</s>"}), {.max_new_tokens = 3}).result.tokens.empty());
  // An end that only the one who asks knows of.
  const Spoken own = run(ids_of({"the", "in", "the"}), {.max_new_tokens = 3, .ends = ids_of({"in"})});
  EXPECT_EQ(own.result.reason, StopReason::end_of_turn);
  EXPECT_EQ(own.result.tokens, ids_of({"the"}));
}

TEST(Generate, AStopTextAcrossTokensIsHeldBackAndCut) {
  const auto script = ids_of({"th", "e", "Ġa", "in", "x"});
  const Spoken r = run(script, {.max_new_tokens = 5, .stop = {"e ai"}});
  EXPECT_EQ(r.result.reason, StopReason::stop_text);
  EXPECT_EQ(r.result.text, "th");
  EXPECT_EQ(r.result.tokens, ids_of({"th", "e", "Ġa", "in"}));
  EXPECT_EQ(run(script, {.max_new_tokens = 5, .stop = {"hea"}}).result.text, "the ainx");
}

TEST(Generate, HeldBackTextComesOutOnceWhenItWasNoStop) {
  const auto script = ids_of({"a", "a", "a", "b", "a", "a", "c"});
  const Spoken r = run(script, {.max_new_tokens = 7, .stop = {"aac", "aab!"}});
  EXPECT_EQ(r.result.text, "aaab");
  EXPECT_EQ(r.pieces, (std::vector<std::string>{"a", "aab"}));
  // At the end what was held comes out.
  const Spoken end = run(ids_of({"x", "a", "a"}), {.max_new_tokens = 3, .stop = {"aac"}});
  EXPECT_EQ(end.result.text, "xaa");
  EXPECT_EQ(end.pieces, (std::vector<std::string>{"x", "aa"}));
  EXPECT_EQ(end.result.reason, StopReason::length);
  const Spoken turn = run(ids_of({"x", "a", "</s>"}), {.max_new_tokens = 9, .stop = {"aac"}});
  EXPECT_EQ(turn.result.text, "xa");
  EXPECT_EQ(turn.result.reason, StopReason::end_of_turn);
}

TEST(Generate, TheFirstStopTextWins) {
  const auto script = ids_of({"x", "the", "Ġthe", "y"});
  EXPECT_EQ(run(script, {.max_new_tokens = 4, .stop = {"he t", "xthe", "the the"}}).result.text, "");
  EXPECT_EQ(run(script, {.max_new_tokens = 4, .stop = {"he", "the"}}).result.text, "x");
  EXPECT_EQ(run(script, {.max_new_tokens = 4, .stop = {"", "hey"}}).result.text, "xthe t");
  EXPECT_EQ(run(script, {.max_new_tokens = 4, .stop = {"x"}}).result.text, "");
}

// Every stop text against a plain search in the whole text: what is shown is what stands before the first one.
TEST(Generate, StopTextsAgreeWithAPlainSearch) {
  Random random(5);
  const std::vector<std::string> tokens = {"a", "b", "th", "e", "the", "Ġa"};
  const std::vector<std::string> texts = {"a", "b", "th", "e", "the", " a"};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> said, stops;
    std::string text;
    for (int i = 0; i < 10; ++i) {
      const size_t pick = random.below(tokens.size());
      said.push_back(tokens[pick]);
      text += texts[pick];
    }
    for (int i = 0; i < 2; ++i) {
      std::string stop;
      for (size_t n = 1 + random.below(4); n > 0; --n) stop += texts[random.below(texts.size())];
      stops.push_back(stop);
    }
    // Of the text as it grows: a stop text ends the answer as soon as it is complete.
    std::string grown, expected = text;
    for (const std::string& token : said) {
      grown += texts[static_cast<size_t>(std::find(tokens.begin(), tokens.end(), token) - tokens.begin())];
      const size_t cut = std::min(grown.find(stops[0]), grown.find(stops[1]));
      if (cut == std::string::npos) continue;
      expected = grown.substr(0, cut);
      break;
    }
    const Spoken r = run(ids_of(said), {.max_new_tokens = 10, .stop = stops});
    EXPECT_EQ(r.result.text, expected) << text << " / " << stops[0] << " / " << stops[1];
    EXPECT_EQ(r.result.reason,
              expected == text && text.find(stops[0]) == std::string::npos && text.find(stops[1]) == std::string::npos
                  ? StopReason::length
                  : StopReason::stop_text);
  }
}

TEST(Generate, HalfACharacterIsNeverShown) {
  const auto& tokenizer = byte_tokenizer();
  // U+00E9 and U+1F600 as bytes.
  const auto script = ids_of({"<0xC3>", "<0xA9>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"}, *tokenizer);
  const Spoken r = run(script, {.max_new_tokens = 6}, tokenizer);
  EXPECT_EQ(r.pieces, (std::vector<std::string>{"\xC3\xA9", "\xF0\x9F\x98\x80"}));
  // Cut off by the limit: the bytes come at the end, and nothing is lost.
  const Spoken cut = run(script, {.max_new_tokens = 4}, tokenizer);
  EXPECT_EQ(cut.result.tokens.size(), 4u);
  EXPECT_EQ(cut.pieces.front(), "\xC3\xA9");
  EXPECT_EQ(cut.result.text, "\xC3\xA9\xF0\x9F");
}

TEST(Generate, AnEmptyPromptAndNegativeCountsAreRefused) {
  ScriptedStream stream(tiny_tokenizer()->vocab_size(), {});
  EXPECT_THROW(generate(stream, tiny_tokenizer(), {}, {}), InputError);
  EXPECT_THROW(generate(stream, tiny_tokenizer(), kPrompt, {.max_new_tokens = -1}), UsageError);
  EXPECT_THROW(generate(stream, tiny_tokenizer(), kPrompt, {.sampler = {.temperature = -1}}), UsageError);
  EXPECT_TRUE(stream.fed.empty()) << "nothing was read";
}

// log softmax in f64, one row at a time.
double naive_logprob(const at::Tensor& logits, TokenId id) {
  double total = 0;
  for (int64_t i = 0; i < logits.size(0); ++i) total += std::exp(logits[i].item<double>());
  return logits[id].item<double>() - std::log(total);
}

TEST(Generate, LogprobsOfPromptAndAnswerEqualASeparateComputation) {
  const auto script = ids_of({"the", "x"});
  ScriptedStream again(tiny_tokenizer()->vocab_size(), script);
  const at::Tensor prompt_rows = again.feed(kPrompt, LogitRows::all, {}).logits;
  const at::Tensor second_row = again.feed(std::span(script).first(1), LogitRows::last, {}).logits[0];

  const Spoken r = run(script, {.max_new_tokens = 2, .logprobs = 3, .echo_logprobs = true});
  ASSERT_EQ(r.result.prompt_logprobs.size(), kPrompt.size() - 1);
  ASSERT_EQ(r.result.logprobs.size(), 2u);
  const auto check = [](const PositionLogprobs& got, const at::Tensor& logits, TokenId id) {
    EXPECT_EQ(got.chosen.id, id);
    EXPECT_NEAR(got.chosen.logprob, naive_logprob(logits, id), 1e-5);
    ASSERT_EQ(got.best.size(), 3u);
    const auto [values, order] = logits.sort(true, 0, true);
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(got.best[i].id, order[i].item<int64_t>());
      EXPECT_NEAR(got.best[i].logprob, naive_logprob(logits, got.best[i].id), 1e-5);
    }
  };
  check(r.result.prompt_logprobs[0], prompt_rows[0], kPrompt[1]);
  check(r.result.prompt_logprobs[1], prompt_rows[1], kPrompt[2]);
  check(r.result.logprobs[0], prompt_rows[2], script[0]);
  check(r.result.logprobs[1], second_row, script[1]);

  const Spoken echo = run(script, {.max_new_tokens = 2, .echo_logprobs = true});
  EXPECT_TRUE(echo.result.logprobs[0].best.empty());
  EXPECT_EQ(echo.result.prompt_logprobs.size(), 2u);
  const Spoken none = run(script, {.max_new_tokens = 2});
  EXPECT_TRUE(none.result.logprobs.empty() && none.result.prompt_logprobs.empty());
}

TEST(Generate, TheSameSeedSaysTheSame) {
  const auto sample = [](uint64_t seed) {
    ScriptedStream stream(tiny_tokenizer()->vocab_size(), ids_of({"the", "a", "in", "x"}));
    stream.flat = true;
    return generate(stream, tiny_tokenizer(), kPrompt,
                    {.sampler = {.temperature = 1, .seed = seed}, .max_new_tokens = 30})
        .tokens;
  };
  EXPECT_EQ(sample(7), sample(7));
  EXPECT_NE(sample(7), sample(8));
}

TEST(Generate, CtrlCEndsTheAnswerAndKeepsIt) {
  install_interrupt_handler();
  ScriptedStream stream(tiny_tokenizer()->vocab_size(), ids_of({"the", "a", "in"}));
  const Generated r = generate(stream, tiny_tokenizer(), kPrompt, {.max_new_tokens = 3}, [](std::string_view text) {
    if (text == "a") std::raise(SIGINT);
  });
  EXPECT_EQ(r.reason, StopReason::interrupted);
  EXPECT_EQ(r.text, "thea");
  EXPECT_EQ(r.tokens, ids_of({"the", "a"}));
  // While the prompt is read there is no answer to keep.
  EXPECT_THROW(generate(stream, tiny_tokenizer(), kPrompt, {}), Interrupted);
  clear_interrupt();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

TEST(Generate, PromptProgressIsPassedOn) {
  ScriptedStream stream(tiny_tokenizer()->vocab_size(), ids_of({"the"}));
  std::vector<int64_t> told;
  generate(stream, tiny_tokenizer(), kPrompt, {.max_new_tokens = 1}, {}, [&](int64_t n) { told.push_back(n); });
  EXPECT_EQ(told, (std::vector<int64_t>{3}));
}

}  // namespace
}  // namespace steno
