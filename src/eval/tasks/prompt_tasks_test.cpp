// The tasks that ask for what was hidden or said: from data files to lines, on a tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files_test_util.h"
#include "eval/eval_test_util.h"
#include "eval/prompts/draw.h"
#include "eval/prompts/reconstruct.h"
#include "eval/tasks/prompt_run.h"
#include "memory/generate.h"
#include "methods/learned_test_util.h"

namespace steno {
namespace {

using test::Bench;

const char* kDocuments =
    R"({"id":"a","text":"The ferry left at seven. Nobody on the quay had slept. Was it the strike again? The harbour master said so. They stayed. By noon the fog had lifted from the far shore."})"
    "\n"
    R"({"id":"b","text":"Winter came early to the valley. The mill stood still for want of water. The miller mended nets. It was not his trade. He learned it anyway, knot by knot."})"
    "\n";
const char* kDialogues =
    R"({"id":"d1","source":"s","utterances":[{"speaker":"A","text":"Hello there."},{"speaker":"B","text":"Hi."},{"speaker":"A","text":"How are you?"},{"speaker":"B","text":"Fine, thanks."}]})"
    "\n"
    R"({"id":"d2","source":"s","utterances":[{"speaker":"A","text":"It rains."},{"speaker":"B","text":"Again."},{"speaker":"A","text":"Yes."}]})"
    "\n"
    R"({"id":"d3","source":"s","utterances":[{"speaker":"A","text":"Alone."}]})"
    "\n";

struct Case {
  const char* task;
  const char* data;
  FieldValues params;
  bool needle;  // knows where the answer stands
};

// Lengths are in tokens of a tiny vocabulary, where a word takes several.
const std::vector<Case> kCases = {
    {"passkey", kDocuments, {{"length", "500"}, {"depth", "0,100"}, {"trials", "1"}}, true},
    {"passkey", kDocuments, {{"length", "500"}, {"depth", "50"}, {"trials", "1"}, {"filler", "natural"}}, true},
    {"needle", kDocuments, {{"length", "450"}, {"depth", "50"}, {"trials", "1"}}, true},
    {"multi-needle",
     kDocuments,
     {{"length", "1200"}, {"kinds", "multi-query"}, {"needles", "2"}, {"trials", "1"}},
     true},
    {"ruler", kDocuments, {{"length", "900"}, {"kinds", "niah_single_2"}, {"trials", "1"}}, true},
    {"dialogue", kDialogues, {{"turns", "all"}, {"max_new_tokens", "8"}}, false},
    {"dialogue",
     kDialogues,
     {{"what", "probes"},
      {"probes", "recall,update,multi,negative,attribution"},
      {"ages", "2"},
      {"facts", "2"},
      {"other_age", "1"},
      {"trials", "1"}},
     false},
    {"reconstruct",
     kDocuments,
     {{"tokens", "20"}, {"form", "plain"}, {"demonstrations", "1"}, {"hint_tokens", "2"}, {"trials", "1"}},
     true},
};

std::string name_of(const Case& c) {
  std::string name = c.task;
  for (const auto& [key, value] : c.params) name += " " + key + "=" + value;
  return name;
}

Bench bench(const test::TemporaryFolder& folder, const Case& c, ArmChoice choice) {
  return Bench(c.task, folder.file("data.jsonl", c.data), c.params, std::move(choice));
}

TEST(PromptTasks, LinesHaveWhatReportsRead) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(name_of(c));
    const test::TemporaryFolder folder;
    const Bench b = bench(folder, c,
                          {.methods = {"window", "icae"},
                           .budgets = {64},
                           .params = {{"icae", test::learned(method_named("icae"), "llama_tied")}},
                           .controls = true});
    ASSERT_EQ(b.arms.size(), 4u);
    ASSERT_FALSE(b.run->items().empty());
    for (const Arm& arm : b.arms) {
      const Json line = b.run->run(0, arm, {});
      for (const char* key : {"scores", "question", "references", "prediction", "accounting", "kept", "time"})
        EXPECT_TRUE(line.contains(key)) << key;
      EXPECT_FALSE(line.at("scores").empty());
      if (arm.control == Control::closed_book) {
        EXPECT_EQ(line.at("context_tokens"), 0);
      } else if (c.needle) {
        ASSERT_TRUE(line.contains("needle"));
        EXPECT_LE(line["needle"][0], line["needle"][1]);
        EXPECT_LT(line["needle"][1], line.at("context_tokens"));
      }
    }
    EXPECT_TRUE(b.run->settings().contains("template"));
  }
}

// A method that writes slots reads the text alone, once, and writes it again from the slots behind its own token.
TEST(PromptTasks, ReconstructsFromSlots) {
  const test::TemporaryFolder folder;
  const Method& icae = method_named("icae");
  const FieldValues adapter = test::learned(icae, "llama_tied");  // 2 slots for 8 tokens
  const Bench b = bench(folder, kCases.back(), {.methods = {"icae"}, .params = {{"icae", adapter}}});
  ASSERT_EQ(b.run->items().size(), 3u);
  DataFiles data("reconstruct", task_named("reconstruct").data(), {{"data", folder.file("data.jsonl", kDocuments)}},
                 {});
  const auto compressor = icae.open_compressor(*b.model, adapter);
  const PromptEncoder encoder(b.model->tokenizer, "plain");
  const CopyFrame frame = copy_frame(*b.model->tokenizer, "plain", 1, "");
  const Filler source = read_filler(data, "data");
  for (size_t item = 0; item < 3; ++item) {
    SCOPED_TRACE(b.run->items()[item].id);
    const Json line = b.run->run(item, b.arms[0], {});
    const bool bos = b.model->tokenizer->adds_bos();
    const int64_t read = 20 + bos;
    EXPECT_EQ(line["readings"], 1);
    EXPECT_EQ(line["context_tokens"], read);
    EXPECT_EQ(line["question_tokens"], 2 + bos);
    EXPECT_EQ(line["needle"], Json::array({0, read - 1}));
    const Json roles = {{"slot", (read + 7) / 8 * 2}, {"task", 1}, {"token", 2 + bos}};
    EXPECT_EQ(line["accounting"]["slots_by_role"], roles);

    // The same by hand.
    const ReconstructSpec spec{
        .kind = text_kind_named(b.run->items()[item].cell["text"]), .tokens = 20, .hint_tokens = 2};
    const ReconstructPrompt built =
        build_reconstruct(encoder, source, frame, spec, mix_seeds({0, seed_of(b.run->items()[item].id)}));
    std::vector<TokenId> hint(built.prompt.question_ids.end() - 2, built.prompt.question_ids.end());
    if (bos) hint.insert(hint.begin(), b.model->tokenizer->bos().value());
    std::vector<TokenId> text = hint;
    text.insert(text.end(), built.expected.begin(), built.expected.end());
    const auto reader = compressor->open_reader();
    reader->read_slots(compressor->compress(cut_fixed(text, 8)));
    reader->begin(ReaderTask::reconstruct, LogitRows::none);
    const auto forced = reader->fork();
    const Generated written =
        generate(*reader, b.model->tokenizer, hint, greedy(built.max_new_tokens, encoder.stops()));
    EXPECT_EQ(line["prediction"], written.text);
    EXPECT_EQ(line["references"], built.prompt.references);
    const at::Tensor best = forced->feed(text, LogitRows::all).logits.argmax(-1);
    double right = 0;
    for (size_t i = hint.size(); i < text.size(); ++i)
      right += best[static_cast<int64_t>(i) - 1].item<int64_t>() == text[i];
    EXPECT_DOUBLE_EQ(line["scores"]["token_accuracy"].get<double>(),
                     right / static_cast<double>(built.expected.size()));
  }
}

// Without a hint and without BOS the token of the task predicts the first token of the text.
TEST(PromptTasks, ReconstructsWithoutAHint) {
  const test::TemporaryFolder folder;
  const Method& icae = method_named("icae");
  const FieldValues adapter = {{"adapter", test::program_file("adapter_without_bos")}};
  const Model base = load_model(test::tiny_folder("llama_tied"), {.dtype = at::kFloat});
  icae.open_objective(base, "ae", {{"k", "2"}, {"ratio", "4"}, {"rank", "2"}, {"bos", "off"}}, 1)
      ->save(adapter.at("adapter"), Json::object());
  Case c = kCases.back();
  c.params["hint_tokens"] = "0";
  const Bench b = bench(folder, c, {.methods = {"icae"}, .params = {{"icae", adapter}}});
  const auto compressor = icae.open_compressor(*b.model, adapter);
  ASSERT_FALSE(compressor->opening_token());
  DataFiles data("reconstruct", task_named("reconstruct").data(), {{"data", folder.file("data.jsonl", kDocuments)}},
                 {});
  const PromptEncoder encoder(b.model->tokenizer, "plain");
  const CopyFrame frame = copy_frame(*b.model->tokenizer, "plain", 1, "");
  const Filler source = read_filler(data, "data");
  const Json line = b.run->run(0, b.arms[0], {});
  const ReconstructSpec spec{.kind = text_kind_named(b.run->items()[0].cell["text"]), .tokens = 20, .hint_tokens = 0};
  const ReconstructPrompt built =
      build_reconstruct(encoder, source, frame, spec, mix_seeds({0, seed_of(b.run->items()[0].id)}));
  const auto reader = compressor->open_reader();
  reader->read_slots(compressor->compress(cut_fixed(built.expected, 8)));
  at::Tensor logits = reader->begin(ReaderTask::reconstruct, LogitRows::last).logits;
  double right = 0;
  for (const TokenId expected : built.expected) {
    right += logits.argmax(-1).item<int64_t>() == expected;
    logits = reader->feed({&expected, 1}, LogitRows::last).logits;
  }
  EXPECT_DOUBLE_EQ(line["scores"]["token_accuracy"].get<double>(), right / static_cast<double>(built.expected.size()));
  EXPECT_EQ(line["context_tokens"], 20);
}

// A memory that has room for everything answers as the whole context does, item by item.
TEST(PromptTasks, EnoughBudgetIsDense) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(name_of(c));
    const test::TemporaryFolder folder;
    const Bench b = bench(folder, c, {.methods = {"dense", "window", "streaming-llm"}, .budgets = {4096}});
    ASSERT_EQ(b.arms.size(), 3u);
    for (size_t item = 0; item < b.run->items().size(); ++item) {
      const Json dense = b.run->run(item, b.arms[0], {});
      for (const size_t other : {1, 2}) {
        const Json line = b.run->run(item, b.arms[other], {});
        EXPECT_EQ(line.at("prediction"), dense.at("prediction"));
        EXPECT_EQ(line.at("scores"), dense.at("scores"));
        EXPECT_EQ(line.at("kept"), dense.at("kept"));
      }
    }
  }
}

TEST(PromptTasks, SameSeedSameItems) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(name_of(c));
    const test::TemporaryFolder folder;
    const ArmChoice choice{.methods = {"dense"}};
    const Bench a = bench(folder, c, choice), b = bench(folder, c, choice);
    EXPECT_EQ(item_ids(*a.run), item_ids(*b.run));
    EXPECT_EQ(test::without_times(a.run->run(0, a.arms[0], {})), test::without_times(b.run->run(0, b.arms[0], {})));
  }
}

// Query-agnostic reading: what is held when the context ends does not depend on the question. With the fact's age 0 the
// needle is the last turn, so a window holds it.
TEST(PromptTasks, SaysHowMuchOfTheNeedleIsKept) {
  const test::TemporaryFolder folder;
  const Bench b = bench(folder, kCases[0], {.methods = {"dense", "window"}, .budgets = {200}});
  EXPECT_EQ(b.run->run(0, b.arms[0], {}).at("needle_kept"), 1);
  EXPECT_EQ(b.run->run(0, b.arms[1], {}).at("needle_kept"), 0);  // depth 0 is out of the window's range
  EXPECT_GT(b.run->run(1, b.arms[1], {}).at("needle_kept").get<double>(), 0.9);
}

TEST(PromptTasks, LimitIsItemsPerCell) {
  const test::TemporaryFolder folder;
  DataFiles data("[eval] passkey", task_named("passkey").data(), {}, {});
  const auto run = task_named("passkey").prepare(
      {test::tiny_model("llama_tied"), data, {{"length", "400,500"}, {"depth", "0,100"}}, 3, 0});
  EXPECT_EQ(run->items().size(), 12u);
}

TEST(PromptTasks, ShortDialoguesAreCounted) {
  const test::TemporaryFolder folder;
  const Bench b = bench(folder, {"dialogue", kDialogues, {}, false}, {.methods = {"dense"}});
  EXPECT_EQ(item_ids(*b.run), (std::vector<std::string>{"d1/turn=4", "d2/turn=3"}));
  EXPECT_EQ(b.run->settings().at("too_short"), 1);
}

TEST(PromptTasks, RefuseWhatMakesNoSense) {
  const test::TemporaryFolder folder;
  const auto refuse = [&](const char* task, const char* data, FieldValues params) {
    bench(folder, {task, data, std::move(params), false}, {.methods = {"dense"}});
  };
  EXPECT_THROW(refuse("passkey", kDocuments, {{"length", "20"}}), InputError);
  EXPECT_THROW(refuse("passkey", kDocuments, {{"filler", "grass"}}), UsageError);
  EXPECT_THROW(refuse("passkey", kDocuments, {{"depth", "120"}}), UsageError);
  EXPECT_THROW(refuse("passkey", kDocuments, {{"trials", "0"}}), UsageError);
  EXPECT_THROW(refuse("needle", kDocuments, {{"needle", "gold"}}), UsageError);
  EXPECT_THROW(refuse("multi-needle", kDocuments, {{"kinds", "multi-key,,multi-value"}}), UsageError);
  EXPECT_THROW(refuse("ruler", kDocuments, {{"kinds", "niah"}}), UsageError);
  EXPECT_THROW(refuse("dialogue", kDialogues, {{"what", "poems"}}), UsageError);
  EXPECT_THROW(refuse("dialogue", kDialogues, {{"turns", "first"}}), UsageError);
  EXPECT_THROW(refuse("reconstruct", kDocuments, {{"texts", "prose"}, {"form", "plain"}}), UsageError);
}

Json line(const char* prediction, const char* reference, double repetition) {
  return {{"item", reference},
          {"prediction", prediction},
          {"references", {reference}},
          {"scores", {{"repetition", repetition}}}};
}

const char* kTalk =
    R"({"id":"t","utterances":[{"text":"Where did you spend the summer?"},{"text":"In a village by the lake."},{"text":"Did you like the food there?"},{"text":"The soup was better than the fish."},{"text":"It rained all day, every day."},{"text":"We read all the books we had."}]})"
    "\n";

// Slots are taken out between reading and question where the memory can do that, and the line says where it cannot.
TEST(PromptTasks, ProbesAskAgainWithoutSlots) {
  const test::TemporaryFolder folder;
  Bench b("dialogue", folder.file("data.jsonl", kTalk),
          {{"what", "probes"},
           {"probes", "attribution,response,utterance"},
           {"ages", "1"},
           {"other_age", "1"},
           {"trials", "1"}},
          {.methods = {"dense", "window", "retrieval"}, .budgets = {100}, .controls = true});
  ASSERT_EQ(b.run->items().size(), 3u);
  ASSERT_EQ(b.arms.size(), 5u);
  const auto line = [&](size_t item, size_t arm) { return b.run->run(item, b.arms[arm], {}); };
  for (const size_t arm : {size_t{1}, size_t{2}, size_t{3}}) {  // full-context, dense, window-100
    SCOPED_TRACE(b.arms[arm].id);
    const Json attribution = line(0, arm), utterance = line(2, arm);
    EXPECT_FALSE(attribution.contains("not_removed"));
    for (const char* name : {"without_ends", "without_fact_end"}) {
      const Json& scores = attribution["scores"];
      const double all = scores["correct"], less = scores[std::string("correct_") + name];
      EXPECT_EQ(scores[std::string("drop_") + name], all - less) << name;
      EXPECT_TRUE(attribution["predictions_with_slots_removed"].contains(name));
    }
    EXPECT_TRUE(utterance["scores"].contains("bleu4_from_end"));
    EXPECT_TRUE(utterance["scores"].contains("correct_from_end"));
    EXPECT_FALSE(line(1, arm)["scores"].contains("drop_without_ends"));
  }
  for (const size_t arm : {size_t{0}, size_t{4}}) {  // closed-book, retrieval-100
    SCOPED_TRACE(b.arms[arm].id);
    const Json attribution = line(0, arm);
    EXPECT_EQ(attribution["not_removed"], Json::parse(R"(["without_ends", "without_fact_end"])"));
    EXPECT_TRUE(attribution["scores"].contains("correct"));
    EXPECT_FALSE(attribution["scores"].contains("drop_without_ends"));
  }
}

TEST(PromptTasks, ReplyFiguresOfTheWholeSet) {
  const test::TemporaryFolder folder;
  const Bench b = bench(folder, {"dialogue", kDialogues, {}, false}, {.methods = {"dense"}});
  const Json a = line("i am am here", "the cat sat on the mat", 0), c = line("i am there", "a dog", 0.5);
  const Metrics metrics = b.run->metrics({&a, &c});
  // Worked out by hand (evaluation, section 2.3).
  EXPECT_NEAR(metrics.at("distinct1").mean, 4.0 / 7, 1e-12);
  EXPECT_NEAR(metrics.at("distinct2").mean, 4.0 / 5, 1e-12);
  EXPECT_EQ(metrics.at("distinct3").mean, 1);
  EXPECT_EQ(metrics.at("bleu").mean, 0);
  EXPECT_FALSE(metrics.at("repetition").higher_is_better);
  const Json right = line("the cat sat on the mat", "the cat sat on the mat", 0), empty = line("", "a dog", 0);
  EXPECT_NEAR(b.run->metrics({&right}).at("bleu").mean, 100, 1e-9);
  EXPECT_EQ(b.run->metrics({&empty}).at("bleu").mean, 0);
}

}  // namespace
}  // namespace steno
