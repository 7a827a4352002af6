#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/answer.h"
#include "eval/eval_test_util.h"

namespace steno {
namespace {

using test::Bench;
using test::eval_data;

const FieldValues kShort = {{"max_new_tokens", "6"}};

TEST(Qa, ABudgetOfTheWholeTextEqualsDenseItemByItem) {
  for (const char* task : {"qa", "longqa"}) {
    Bench bench(task, eval_data(std::string(task) + ".jsonl"), kShort,
                {.methods = {"dense", "window", "streaming-llm"}, .budgets = {8000}, .controls = true});
    const size_t dense = 2;
    ASSERT_EQ(bench.arms[dense].id, "dense");
    for (size_t item = 0; item < bench.run->items().size(); ++item) {
      const Json expected = bench.run->run(item, bench.arms[dense], {});
      EXPECT_EQ(expected["accounting"]["dropped_tokens"], 0);
      EXPECT_EQ(expected["kept"].size(), 1u);
      for (const size_t arm : {size_t{1}, size_t{3}, size_t{4}}) {  // full-context, window-8000, streaming-llm-8000
        const Json got = bench.run->run(item, bench.arms[arm], {});
        for (const char* key : {"prediction", "scores", "kept", "question", "references", "context_tokens"})
          EXPECT_EQ(got[key], expected[key]) << bench.arms[arm].id << " " << key;
      }
    }
  }
}

TEST(Qa, LinesHoldWhatTheReportNeeds) {
  Bench bench("qa", eval_data("qa.jsonl"), kShort, {.methods = {"window"}, .budgets = {64}, .controls = true});
  EXPECT_EQ(bench.run->items()[0].cell, (Json{{"source", "fairytaleqa"}}));
  const Json closed = bench.run->run(0, bench.arms[0], {}), full = bench.run->run(0, bench.arms[1], {}),
             window = bench.run->run(0, bench.arms[2], {});
  EXPECT_EQ(closed["context_tokens"], 0);
  EXPECT_LT(closed["accounting"]["source_tokens"], full["accounting"]["source_tokens"]);
  EXPECT_EQ(window["context_tokens"], full["context_tokens"]);
  EXPECT_EQ(window["accounting"]["slots"], 64);
  EXPECT_EQ(window["accounting"]["source_tokens"],
            window["context_tokens"].get<int64_t>() + window["question_tokens"].get<int64_t>());
  // At the moment of answering the newest 64 positions are there.
  const int64_t seen = window["accounting"]["source_tokens"];
  EXPECT_EQ(window["kept"], (Json::array({Json::array({seen - 64, seen - 1})})));
  for (const char* key : {"f1", "em", "substring_em"}) EXPECT_TRUE(window["scores"].contains(key));
}

TEST(Qa, QuestionsOfOneContextShareItsReading) {
  Bench bench("longqa", eval_data("longqa.jsonl"), kShort, {.methods = {"window"}, .budgets = {200}});
  ASSERT_EQ(bench.run->items().size(), 6u);
  std::vector<Json> shared;
  for (size_t item = 0; item < 6; ++item) shared.push_back(bench.run->run(item, bench.arms[0], {}));
  EXPECT_GT(shared[0]["time"]["read_tokens"], 0);
  EXPECT_EQ(shared[1]["time"]["read_tokens"], 0);
  EXPECT_EQ(shared[2]["time"]["read_tokens"], 0);
  EXPECT_GT(shared[3]["time"]["read_tokens"], 0);
  EXPECT_EQ(shared[0]["cluster"], shared[1]["cluster"]);
  EXPECT_NE(shared[0]["cluster"], shared[3]["cluster"]);
  // Each alone, in a run of its own, says the same.
  for (const size_t item : {size_t{1}, size_t{2}, size_t{5}}) {
    Bench alone("longqa", eval_data("longqa.jsonl"), kShort, {.methods = {"window"}, .budgets = {200}});
    const Json line = alone.run->run(item, alone.arms[0], {});
    EXPECT_GT(line["time"]["read_tokens"], 0);
    EXPECT_EQ(test::without_times(line), test::without_times(shared[item]));
  }
}

// evaluation.md, section 12, case 9.
TEST(Qa, WhatIsKeptBeforeTheQuestionDoesNotDependOnItsText) {
  const auto model = test::tiny_model("llama_tied");
  const auto context = test::some_ids(*model, 90, 1);
  for (const Method* method : methods()) {
    if (method->needs_training()) continue;  // they take an adapter; what they keep follows from it
    Arm arm;
    arm.id = method->name();
    arm.method = method;
    arm.options.budget = method->has_budget() ? 40 : 0;
    arm.options.chunk_size = 16;
    const auto kept = [&](const std::vector<TokenId>& question) {
      Answerer answerer(model, greedy(2));
      const Prompt prompt{.key = "", .context = context, .question = question};
      const auto stream = answerer.after_context(arm, prompt, {});
      return kept_ranges(held_shares(*stream, model->decoder->config()));
    };
    EXPECT_EQ(kept({5, 6, 7}), kept({90, 3})) << method->name();
  }
}

TEST(Qa, QueryAwareReadsContextAndQuestionInOneFeed) {
  Bench apart("qa", eval_data("qa.jsonl"), kShort, {.methods = {"dense"}});
  Bench one("qa", eval_data("qa.jsonl"), kShort, {.methods = {"dense"}, .query_aware = true});
  EXPECT_EQ(one.arms[0].id, "dense,query-aware");
  const Json a = apart.run->run(0, apart.arms[0], {}), b = one.run->run(0, one.arms[0], {});
  EXPECT_EQ(a["prediction"], b["prediction"]);  // dense does not care
  EXPECT_EQ(a["accounting"]["source_tokens"], b["accounting"]["source_tokens"]);
  EXPECT_TRUE(arm_json(one.arms[0], *one.model)["query_aware"]);
}

// HotpotQA's facts: what the memory holds of them, and the answer with it.
TEST(Qa, SupportingFactsAreTheSentencesThatAreHeld) {
  const test::TemporaryFolder folder;
  const auto file = folder.file(
      "facts.jsonl",
      R"({"id":"a","context":[["Oslo",["Oslo is an old city by the sea."," It lies at the end of a long fjord."]],)"
      R"(["Rome",["Rome is older than that.","It has seven hills, they say."]]],"question":"Where does Oslo lie?",)"
      R"("answers":["fjord"],"supporting_facts":[["Oslo",1],["Rome",1]]})"
      "\n");
  Bench bench("qa", file, {{"max_new_tokens", "4"}, {"dialect", "hotpotqa"}},
              {.methods = {"dense", "window"}, .budgets = {60}, .controls = true});
  EXPECT_TRUE(bench.run->settings().contains("supporting_facts"));
  const auto line = [&](size_t arm) { return bench.run->run(0, bench.arms[arm], {}); };
  const Json closed = line(0), dense = line(2), window = line(3);
  // Everything is held: two of four sentences were wanted.
  EXPECT_EQ(dense["facts_held"].size(), 4u);
  EXPECT_NEAR(dense["scores"]["fact_f1"].get<double>(), 2.0 / 3, 1e-12);
  EXPECT_EQ(dense["scores"]["fact_recall"], 1);
  EXPECT_EQ(dense["scores"]["fact_em"], 0);
  EXPECT_EQ(closed["facts_held"].size(), 0u);
  EXPECT_EQ(closed["scores"]["fact_f1"], 0);
  // A sentence counts where at least half of its tokens stand in the window.
  const auto ids = bench.model->tokenizer->encode("It has seven hills, they say.", {.add_special = false});
  const int64_t last = window["kept"][0][1], context = window["context_tokens"], first = last - 59;
  const bool half = 2 * (context - first) >= static_cast<int64_t>(ids.size());
  EXPECT_EQ(window["facts_held"].dump().find(R"(["Rome",1])") != std::string::npos, half);
  EXPECT_EQ(window["facts_held"].dump().find(R"(["Oslo",1])"), std::string::npos);
  EXPECT_TRUE(window["scores"].contains("joint_f1"));
  EXPECT_EQ(window["scores"]["joint_em"],
            window["scores"]["em"].get<double>() * window["scores"]["fact_em"].get<double>());
}

TEST(Qa, ParametersAreChecked) {
  const auto prepare = [](FieldValues params) {
    Bench("qa", eval_data("qa.jsonl"), std::move(params), {.methods = {"dense"}});
  };
  EXPECT_THROW(prepare({{"dialect", "drop"}}), UsageError);
  EXPECT_THROW(prepare({{"max_new_tokens", "0"}}), UsageError);
  EXPECT_THROW(prepare({{"length", "5"}}), UsageError);
  EXPECT_THROW(task_named("pplx"), UsageError);
}

TEST(Arms, AreMethodsTimesBudgets) {
  const auto model = test::tiny_model("llama_tied");
  const auto ids = [&](const ArmChoice& choice) {
    std::vector<std::string> ids;
    for (const Arm& arm : make_arms(choice, model->decoder)) ids.push_back(arm.id);
    return ids;
  };
  EXPECT_THAT(ids({.methods = {"dense", "window", "streaming-llm"}, .budgets = {16, 32}}),
              testing::ElementsAre("dense", "window-16", "window-32", "streaming-llm-16", "streaming-llm-32"));
  EXPECT_THAT(ids({.methods = {"streaming-llm"},
                   .budgets = {16},
                   .params = {{"streaming-llm", {{"sinks", "2"}}}},
                   .controls = true}),
              testing::ElementsAre("closed-book", "full-context", "streaming-llm-16,sinks=2"));
  EXPECT_THROW(ids({.methods = {"window"}, .budgets = {16, 16}}), UsageError);
  EXPECT_THROW(ids({.methods = {"windows"}}), UsageError);
  EXPECT_THROW(ids({.methods = {"window"}, .params = {{"dense", {{"a", "1"}}}}}), UsageError);
  EXPECT_THROW(ids({.methods = {"streaming-llm"}, .budgets = {2}}), UsageError);
}

TEST(Efficiency, MeasuresEveryLengthAndTakesMedians) {
  const auto model = test::tiny_model("llama_tied");
  DataFiles none("[eval] efficiency", {}, {}, {});
  const Task& task = task_named("efficiency");
  const auto run =
      task.prepare({model, none, {{"length", "40,80"}, {"repeats", "3"}, {"warmups", "1"}, {"decode", "4"}}, 0, 1});
  ASSERT_EQ(run->items().size(), 6u);
  const auto arms = make_arms({.methods = {"dense", "window"}, .budgets = {16}}, model->decoder);
  const Json record = {{"arms", {{{"id", "dense"}}, {{"id", "window-16"}}}}};
  RunDirectory directory("", record, item_ids(*run));
  run_items(*run, arms, directory);
  const Json summary = summarise(*run, arms, directory);
  const auto bytes = [&](size_t arm, size_t cell) {
    return summary["arms"][arm]["cells"][cell]["metrics"]["bytes_per_source_token"]["mean"].get<double>();
  };
  EXPECT_DOUBLE_EQ(bytes(0, 0), bytes(0, 1));  // dense keeps every token
  EXPECT_LT(bytes(1, 1), 0.7 * bytes(1, 0));   // a window keeps the same of more
  EXPECT_FALSE(summary["arms"][0]["metrics"]["first_token_s"]["higher_is_better"]);
  for (const Json* line : directory.lines("dense"))
    for (const auto& [name, value] : line->at("scores").items()) EXPECT_GT(value.get<double>(), 0) << name;
}

}  // namespace
}  // namespace steno
