#include "eval/tasks/ppl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/eval_test_util.h"
#include "eval/nll.h"
#include "methods/learned_test_util.h"

namespace steno {
namespace {

using test::Bench;
using test::eval_data;
using testing::ElementsAre;
using testing::HasSubstr;

class Ppl : public testing::Test {
 protected:
  std::shared_ptr<const Model> model_ = test::tiny_model("llama_tied/model.gguf");  // has BOS
  const Tokenizer& tokenizer_ = *model_->tokenizer;
  std::vector<TokenId> encode(const std::string& text) const { return tokenizer_.encode(text, {.add_special = false}); }
};

TEST_F(Ppl, ADialogueIsBosThenUtterancesEncodedOneByOneWithTheirEnds) {
  const DialogueRecord dialogue{"d", "", {{"A", "Hi there"}, {"", "Yes"}, {"A", "No"}}};
  const UtteranceEnd newline = utterance_end(tokenizer_, "newline");
  const ScoredText text = scored_dialogue(tokenizer_, dialogue, newline, {});
  std::vector<TokenId> expected = {*tokenizer_.bos()};
  std::vector<int64_t> ends;
  for (const char* part : {"Hi there", "Yes", "No"}) {
    for (const TokenId id : encode(part)) expected.push_back(id);
    for (const TokenId id : encode("\n")) expected.push_back(id);
    ends.push_back(static_cast<int64_t>(expected.size()));
  }
  EXPECT_EQ(text.ids, expected);
  EXPECT_EQ(text.utterance_ends, ends);
  EXPECT_EQ(text.first_scored, ends[0]);  // neither BOS nor the first utterance with its end
  EXPECT_EQ(text.cut_tokens, 0);

  PplParams named;
  named.speakers = true;
  named.bos = false;
  const ScoredText with_names = scored_dialogue(tokenizer_, dialogue, newline, named);
  EXPECT_EQ(tokenizer_.decode(with_names.ids), "A: Hi there\nYes\nA: No\n");
  EXPECT_EQ(utterance_end(tokenizer_, "end-of-turn").ids, tokenizer_.end_of_generation());
  EXPECT_TRUE(utterance_end(tokenizer_, "none").ids.empty());
  EXPECT_THROW(utterance_end(tokenizer_, "dot"), UsageError);
}

TEST_F(Ppl, ADocumentIsScoredAfterBosAndWhatIsCutIsCounted) {
  PplParams params;
  params.length = 0;
  const std::string text = "The whole of a document.";
  const auto ids = encode(text);
  const ScoredText whole = scored_document(tokenizer_, text, params);
  EXPECT_EQ(whole.ids.size(), ids.size() + 1);
  EXPECT_EQ(whole.first_scored, 1);
  params.length = 10;
  const ScoredText cut = scored_document(tokenizer_, text, params);
  EXPECT_EQ(cut.ids.size(), 10u);
  EXPECT_EQ(cut.cut_tokens, static_cast<int64_t>(ids.size()) + 1 - 10);
}

// Two toy dialogues with given nll, all figures by hand.
TEST_F(Ppl, MicroAndMacroByHand) {
  const UtteranceEnd newline = utterance_end(tokenizer_, "newline");
  const auto line_of = [&](const std::vector<std::string>& utterances, const std::vector<double>& scored) {
    DialogueRecord dialogue{"d", "", {}};
    for (const auto& text : utterances) dialogue.utterances.push_back({"", text});
    const ScoredText text = scored_dialogue(tokenizer_, dialogue, newline, {});
    std::vector<double> nll(static_cast<size_t>(text.first_scored), 100.0);  // must not count
    nll.insert(nll.end(), scored.begin(), scored.end());
    EXPECT_EQ(nll.size(), text.ids.size()) << "the toy must give every token its number";
    return ppl_line(text, newline, nll, tokenizer_);
  };
  // "xy" and "xyz" are single characters to the tiny tokenizer; ends of utterances cost 0.5.
  Json a = line_of({"ab", "xy"}, {1, 2, 0.5});
  Json b = line_of({"ab", "xyz", "q"}, {3, 1, 2, 0.5, 4, 0.5});
  a["item"] = "a", b["item"] = "b";
  EXPECT_DOUBLE_EQ(a["nll"].get<double>(), 3.5);
  EXPECT_EQ(a["tokens"], 3);
  EXPECT_EQ(a["chars"], 3);  // x, y and the line break
  EXPECT_DOUBLE_EQ(b["nll"].get<double>(), 11);
  EXPECT_EQ(b["tokens"], 6);
  EXPECT_EQ(b["tokens_eou"], 2);
  EXPECT_DOUBLE_EQ(b["nll_eou"].get<double>(), 1);
  EXPECT_EQ(b["by_utterance"], Json::parse("[[1, 11.0, 6]]"));

  const Metrics metrics = ppl_metrics({&a, &b});
  EXPECT_NEAR(metrics.at("ppl").mean, std::exp(14.5 / 9), 1e-12);
  EXPECT_NEAR(metrics.at("ppl_macro").mean, std::exp((3.5 / 3 + 11.0 / 6) / 2), 1e-12);
  EXPECT_NEAR(metrics.at("ppl_without_eou").mean, std::exp((3.0 + 10.0) / 6), 1e-12);
  EXPECT_NEAR(metrics.at("bits_per_char").mean, 14.5 / (std::log(2.0) * 9), 1e-12);
  EXPECT_FALSE(metrics.at("ppl").higher_is_better);
  // Of two dialogues a resample holds one twice, or both.
  EXPECT_NEAR(metrics.at("ppl").low, std::exp(3.5 / 3), 1e-9);
  EXPECT_NEAR(metrics.at("ppl").high, std::exp(11.0 / 6), 1e-9);
}

// Sessions, joined dialogues and the running sums, all by hand.
TEST_F(Ppl, SessionsAndJoinedDialogues) {
  const UtteranceEnd newline = utterance_end(tokenizer_, "newline");
  const DialogueRecord two{"d", "", {{"", "ab"}, {"", "xy"}, {"", "xyz"}, {"", "q"}}, {2}};
  ScoredText text = scored_dialogue(tokenizer_, two, newline, {});
  ASSERT_EQ(text.session_starts, std::vector<int64_t>{text.utterance_ends[1]});
  const auto nll_of = [&](const std::vector<double>& scored) {
    std::vector<double> nll(static_cast<size_t>(text.first_scored), 100.0);
    nll.insert(nll.end(), scored.begin(), scored.end());
    EXPECT_EQ(nll.size(), text.ids.size());
    return nll;
  };
  // "xy" + end | "xyz" + end, "q" + end
  std::vector<double> scored = {1, 2, 0.5, 3, 1, 2, 0.5, 4, 0.5};
  Json line = ppl_line(text, newline, nll_of(scored), tokenizer_, 4);
  EXPECT_EQ(line["session_starts"], Json::parse("[6.5, 4.0]"));
  EXPECT_EQ(line["by_session"], Json::parse("[[1, 3.5, 3], [2, 11.0, 6]]"));
  line["item"] = "d";
  EXPECT_NEAR(ppl_metrics({&line}).at("ppl_session_starts").mean, std::exp(6.5 / 4), 1e-12);
  // Every 4 tokens: how many were scored by then, and their sum.
  const auto first = static_cast<size_t>(text.first_scored);
  Json running = Json::array();
  for (size_t read = 4; read <= text.ids.size(); read += 4) {
    if (read <= first) continue;
    double sum = 0;
    for (size_t i = 0; i < read - first; ++i) sum += scored[i];
    running.push_back({read, sum, static_cast<double>(read - first)});
  }
  EXPECT_EQ(line["running"], running);
  EXPECT_FALSE(ppl_line(text, newline, nll_of(scored), tokenizer_).contains("running"));

  PplParams no_bos;
  no_bos.bos = false;
  const size_t before = text.ids.size();
  join_dialogue(text, scored_dialogue(tokenizer_, {"e", "", {{"", "q"}, {"", "ab"}}}, newline, no_bos));
  EXPECT_EQ(text.joined_at, std::vector<int64_t>{static_cast<int64_t>(before)});
  EXPECT_EQ(text.session_starts.back(), static_cast<int64_t>(before));
  EXPECT_EQ(text.utterance_ends.size(), 6u);
  EXPECT_EQ(text.utterance_ends.back(), static_cast<int64_t>(text.ids.size()));
  EXPECT_EQ(std::count(text.ids.begin(), text.ids.end(), *tokenizer_.bos()), 1);
  // The joined dialogue is scored from its first token on, and its utterances are counted anew.
  scored.insert(scored.end(), text.ids.size() - before, 2.0);
  line = ppl_line(text, newline, nll_of(scored), tokenizer_);
  EXPECT_EQ(line["tokens"], scored.size());
  EXPECT_EQ(line["session_starts"], Json::parse("[10.5, 6.0]"));  // "q" and its end besides
  EXPECT_FALSE(line.contains("by_session"));
  EXPECT_EQ(line["by_utterance"].size(), 1u);
}

TEST(PplRuns, JoinedDialoguesAreReadWithoutAReset) {
  Bench joined("ppl", eval_data("dialogue.jsonl"), {{"length", "120"}, {"join", "200"}}, {.methods = {"dense"}});
  ASSERT_EQ(joined.run->items().size(), 2u);  // 240 tokens of two dialogues, and the third
  const Json line = joined.run->run(0, joined.arms[0], {});
  EXPECT_EQ(line["dialogues"], 2);
  EXPECT_GE(line["accounting"]["source_tokens"], 239);
  EXPECT_GT(line["cut_tokens"], 0);
  EXPECT_GT(line["session_starts"][1], 0);
  EXPECT_FALSE(joined.run->run(1, joined.arms[0], {}).contains("session_starts"));
  EXPECT_THROW(Bench("ppl", eval_data("documents.jsonl"), {{"join", "200"}}, {.methods = {"dense"}}), UsageError);
  EXPECT_EQ(running_step(100), 256);
  EXPECT_EQ(running_step(64 * 256), 256);
  EXPECT_EQ(running_step(64 * 256 + 1), 512);
}

// What is only read is not scored, and dense gives every other token the number it had.
TEST(PplRuns, ContextIsReadAndNotScored) {
  const FieldValues length = {{"length", "60"}};
  Bench all("ppl", eval_data("documents.jsonl"), length, {.methods = {"dense"}});
  Bench rest("ppl", eval_data("documents.jsonl"), {{"length", "60"}, {"context", "20"}}, {.methods = {"dense"}});
  const Json line = rest.run->run(0, rest.arms[0], {});
  EXPECT_EQ(line["tokens"], 60 - 20 - 1);
  EXPECT_EQ(line["accounting"]["source_tokens"], all.run->run(0, all.arms[0], {})["accounting"]["source_tokens"]);
  const auto ids = test::some_ids(*all.model, 50, 1);
  const auto nll = [&](int64_t context) {
    return read_nll(*all.arms[0].open(all.model->decoder), *all.arms[0].method, ids, {}, {}, context);
  };
  const std::vector<double> expected = nll(0), got = nll(17);
  for (size_t t = 0; t < ids.size(); ++t) {
    if (t <= 17)
      EXPECT_TRUE(std::isnan(got[t])) << t;
    else
      EXPECT_NEAR(got[t], expected[t], 1e-5) << t;
  }
  EXPECT_THROW(
      Bench("ppl", eval_data("documents.jsonl"), {{"length", "60"}, {"context", "59"}}, {.methods = {"dense"}}),
      UsageError);
  EXPECT_THROW(Bench("ppl", eval_data("documents.jsonl"), {{"context", "-1"}}, {.methods = {"dense"}}), UsageError);
  // A text that ends in its context has nothing to score, and that is said.
  Bench none("ppl", eval_data("documents.jsonl"), {{"length", "0"}, {"context", "1000000"}}, {.methods = {"dense"}});
  EXPECT_EQ(none.run->run(0, none.arms[0], {})["skipped"], "no token to score");
}

// Slots are written for the context alone: what follows is read as it is.
TEST(PplRuns, MethodsThatWriteSlotsCompressTheContext) {
  const Method& icae = method_named("icae");
  Bench bench("ppl", eval_data("documents.jsonl"), {{"length", "60"}, {"context", "24"}, {"bos", "false"}},
              {.methods = {"dense", "icae"}, .params = {{"icae", test::learned(icae, "llama_tied")}}});
  const Json dense = bench.run->run(0, bench.arms[0], {}), slots = bench.run->run(0, bench.arms[1], {});
  EXPECT_EQ(slots["tokens"], dense["tokens"]);
  EXPECT_NE(slots["nll"], dense["nll"]);
  const int64_t spans = (24 + 8 - 1) / 8;  // of 8 tokens as 2 slots each, or one more with the adapter's own BOS
  EXPECT_GE(slots["accounting"]["slots_by_role"]["slot"], 2 * spans);
  EXPECT_LE(slots["accounting"]["slots_by_role"]["slot"], 2 * spans + 2);
  EXPECT_EQ(slots["accounting"]["slots_by_role"]["token"], 60 - 24);
  EXPECT_EQ(slots["accounting"]["source_tokens"], 60);
}

TEST_F(Ppl, Bins) {
  EXPECT_EQ(position_bin(0), 0);
  EXPECT_EQ(position_bin(255), 0);
  EXPECT_EQ(position_bin(256), 256);
  EXPECT_EQ(position_bin(511), 256);
  EXPECT_EQ(position_bin(512), 512);
  EXPECT_EQ(position_bin(5000), 4096);
  EXPECT_EQ(utterance_bin(1), 1);
  EXPECT_EQ(utterance_bin(5), 1);
  EXPECT_EQ(utterance_bin(6), 6);
  EXPECT_EQ(utterance_bin(13), 11);
}

TEST_F(Ppl, RowNllIsLogSoftmax) {
  const c10::InferenceMode inference;
  at::manual_seed(1);
  const at::Tensor logits = at::randn({37, 104}) * 20;
  std::vector<TokenId> targets;
  for (int i = 0; i < 37; ++i) targets.push_back(i * 31 % 104);
  const auto got = row_nll(logits, targets);
  const at::Tensor expected = at::log_softmax(logits.to(at::kDouble), 1);
  for (int64_t i = 0; i < 37; ++i)
    EXPECT_NEAR(got[static_cast<size_t>(i)], -expected[i][targets[static_cast<size_t>(i)]].item<double>(), 1e-4) << i;
  EXPECT_THROW(row_nll(logits.narrow(0, 0, 1), std::vector<TokenId>{104}), InputError);
}

TEST(PplRuns, ABudgetOfTheWholeTextEqualsDenseItemByItem) {
  Bench bench("ppl", eval_data("documents.jsonl"), {},
              {.methods = {"dense", "window", "streaming-llm"}, .budgets = {4000}});
  for (size_t item = 0; item < bench.run->items().size(); ++item) {
    const Json dense = bench.run->run(item, bench.arms[0], {});
    EXPECT_GT(dense["tokens"], 1000);
    for (size_t arm = 1; arm < bench.arms.size(); ++arm)
      EXPECT_NEAR(bench.run->run(item, bench.arms[arm], {})["nll"].get<double>() / dense["nll"].get<double>(), 1, 1e-6)
          << bench.arms[arm].id;
  }
}

TEST(PplRuns, CellsByPositionAndUtteranceAddUpToTheWhole) {
  Bench bench("ppl", eval_data("dialogue.jsonl"), {{"length", "200"}}, {.methods = {"window"}, .budgets = {32}});
  RunDirectory directory("", bench.record(), item_ids(*bench.run));
  run_items(*bench.run, bench.arms, directory);
  const auto lines = directory.lines("window-32");
  ASSERT_EQ(lines.size(), 3u);
  for (const Json* line : lines) {
    EXPECT_EQ(line->at("accounting")["slots"], 32);
    EXPECT_EQ(line->at("accounting")["source_tokens"], 200);
    EXPECT_GT(line->at("cut_tokens"), 0);
    for (const char* bins : {"by_position", "by_utterance"}) {
      double nll = 0;
      int64_t tokens = 0;
      for (const Json& bin : line->at(bins)) nll += bin[1].get<double>(), tokens += bin[2].get<int64_t>();
      EXPECT_NEAR(nll, line->at("nll").get<double>(), 1e-9);
      EXPECT_EQ(tokens, line->at("tokens").get<int64_t>());
    }
  }
  const Json summary = summarise(*bench.run, bench.arms, directory);
  std::vector<std::string> cells;
  for (const Json& cell : summary["arms"][0]["cells"]) cells.push_back(cell["cell"].dump());
  EXPECT_THAT(cells, testing::IsSupersetOf({R"({"source":"taskmaster4"})", R"({"position":0})", R"({"utterance":1})",
                                            R"({"utterance":6})"}));
}

// A method that asks for utterances is told of every one of them.
class Listener : public Method {
 public:
  explicit Listener(bool listens) : listens_(listens) {}
  std::string name() const override { return "listener"; }
  int version() const override { return 1; }
  std::string summary() const override { return ""; }
  std::vector<FieldInfo> parameters() const override { return {}; }
  bool reads_utterances() const override { return listens_; }
  int64_t expected_slots(const StreamOptions&, int64_t tokens) const override { return tokens; }
  std::unique_ptr<Stream> open_stream(std::shared_ptr<const Decoder> decoder,
                                      const StreamOptions& options) const override;
  mutable std::vector<int64_t> heard;  // tokens seen at each end

 private:
  bool listens_;
};

class ListeningStream : public Stream {
 public:
  ListeningStream(std::unique_ptr<Stream> inner, std::vector<int64_t>& heard)
      : inner_(std::move(inner)), heard_(heard) {}
  FeedResult feed(std::span<const TokenId> tokens, LogitRows logits,
                  const std::function<void(int64_t)>& progress) override {
    return inner_->feed(tokens, logits, progress);
  }
  void end_of_utterance() override { heard_.push_back(inner_->tokens_seen()); }
  int64_t vocab() const override { return inner_->vocab(); }
  int64_t tokens_seen() const override { return inner_->tokens_seen(); }
  int64_t chunk_size() const override { return inner_->chunk_size(); }
  Accounting accounting() const override { return inner_->accounting(); }
  std::unique_ptr<Stream> fork() const override { return inner_->fork(); }
  std::vector<int64_t> kept_positions(int64_t layer, int64_t head) const override {
    return inner_->kept_positions(layer, head);
  }
  void save(const std::string& path, const Identity& identity) const override { inner_->save(path, identity); }
  void load(const std::string& path, const Identity& identity) override { inner_->load(path, identity); }

 private:
  std::unique_ptr<Stream> inner_;
  std::vector<int64_t>& heard_;
};

std::unique_ptr<Stream> Listener::open_stream(std::shared_ptr<const Decoder> decoder,
                                              const StreamOptions& options) const {
  return std::make_unique<ListeningStream>(method_named("dense").open_stream(std::move(decoder), options), heard);
}

TEST(PplRuns, MethodsThatReadUtterancesHearOfThem) {
  const auto model = test::tiny_model("llama_tied");
  const auto ids = test::some_ids(*model, 30, 5);
  const std::vector<int64_t> ends = {4, 11, 12, 30};
  const Listener listening(true), deaf(false);
  const auto a = read_nll(*listening.open_stream(model->decoder, {.chunk_size = 5}), listening, ids, ends, {});
  const auto b = read_nll(*deaf.open_stream(model->decoder, {.chunk_size = 5}), deaf, ids, ends, {});
  EXPECT_EQ(listening.heard, ends);
  EXPECT_TRUE(deaf.heard.empty());
  for (size_t i = 1; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << i;
}

}  // namespace
}  // namespace steno
