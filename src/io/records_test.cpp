#include "io/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "base/error.h"
#include "base/files_test_util.h"

namespace steno {
namespace {

using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::filesystem::path eval_data(const std::string& name) {
  return std::filesystem::path(STENO_SOURCE_DIR) / "tests/data/eval" / name;
}

std::vector<Record> read_all(const std::filesystem::path& path, ReadOptions options = {}) {
  std::vector<Record> records;
  read_records(path, options, [&](Record&& record) { records.push_back(std::move(record)); });
  return records;
}

std::string pack(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  return packed;
}

TEST(Records, EveryKindIsRead) {
  DataSource source;
  const auto documents = read_records_of<DocumentRecord>(eval_data("documents.jsonl"), {}, source);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].id, "inaugural/1885-Cleveland");
  EXPECT_EQ(documents[1].source, "novels");
  EXPECT_EQ(source.records, 2);
  EXPECT_EQ(source.hash.size(), 32u);

  const auto questions = read_records_of<QaRecord>(eval_data("qa.jsonl"), {}, source);
  ASSERT_EQ(questions.size(), 5u);
  EXPECT_EQ(questions[0].context, questions[1].context);
  EXPECT_FALSE(questions[0].answers.empty());

  const auto longs = read_records_of<LongQaRecord>(eval_data("longqa.jsonl"), {}, source);
  ASSERT_EQ(longs.size(), 2u);
  EXPECT_EQ(longs[0].questions.size(), 3u);

  const auto dialogues = read_records_of<DialogueRecord>(eval_data("dialogue.jsonl"), {}, source);
  ASSERT_EQ(dialogues.size(), 3u);
  EXPECT_EQ(dialogues[0].utterances[0].speaker, "user");
  EXPECT_EQ(dialogues[0].utterances[0].text, "Hi. Could I get a Latte please for Giselle?");
}

TEST(Records, PromptsWithContextAreQuestions) {
  const TemporaryFolder folder;
  DataSource source;
  const auto records = read_records_of<QaRecord>(
      folder.file("pwc.jsonl", R"({"input":"A text.","prompt":"Summarise it.","answer":"Text."})"), {}, source);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].id, "line-1");
  EXPECT_EQ(records[0].context, "A text.");
  EXPECT_EQ(records[0].question, "Summarise it.");
  EXPECT_EQ(records[0].answers, std::vector<std::string>{"Text."});
  EXPECT_THAT([&] { read_all(folder.file("bad.jsonl", R"({"input":"A text.","prompt":"P"})")); },
              ThrowsMessage<InputError>(HasSubstr("'answer' is missing")));
}

TEST(Records, TheHintIsTheCallers) {
  const TemporaryFolder folder;
  const auto path = folder.file("bad.jsonl", "{}");
  EXPECT_THAT([&] { read_all(path, {.skip_flag = "skip_bad = true"}); },
              ThrowsMessage<InputError>(HasSubstr("with skip_bad = true")));
}

TEST(Records, PackedAndPlainLinesAreTheSame) {
  DataSource plain, packed;
  const auto a = read_records_of<DocumentRecord>(eval_data("documents.jsonl"), {}, plain);
  const auto b = read_records_of<DocumentRecord>(eval_data("documents.jsonl.zst"), {}, packed);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].text, b[i].text);
  EXPECT_NE(plain.hash, packed.hash);  // of the file as it lies there
}

TEST(Records, LinesLongerThanAnyBufferAndSeveralFrames) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 3; ++i)
    lines += R"({"id":")" + std::to_string(i) + R"(","text":")" + std::string(700'000, static_cast<char>('a' + i)) +
             "\"}\r\n";
  const auto check = [](const std::vector<Record>& records) {
    ASSERT_EQ(records.size(), 3u);
    for (size_t i = 0; i < 3; ++i)
      EXPECT_EQ(std::get<DocumentRecord>(records[i]).text, std::string(700'000, static_cast<char>('a' + i)));
  };
  check(read_all(folder.file("a.jsonl", lines)));
  check(read_all(folder.file("a.jsonl.zst", pack(lines))));
  // Two frames, cut in the middle of a line; no line break at the end.
  lines.resize(lines.size() - 2);
  check(read_all(folder.file("b.jsonl.zst", pack(lines.substr(0, 900'000)) + pack(lines.substr(900'000)))));
}

TEST(Records, PackedDataThatIsCutOrDamaged) {
  const TemporaryFolder folder;
  std::string packed = test::read_bytes(eval_data("documents.jsonl.zst"));
  EXPECT_THAT([&] { read_all(folder.file("cut.jsonl.zst", packed.substr(0, packed.size() / 2))); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("cut.jsonl.zst"), HasSubstr("cut off"))));
  packed[0] = 'x';
  EXPECT_THAT([&] { read_all(folder.file("bad.jsonl.zst", packed)); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("bad.jsonl.zst"), HasSubstr("damaged"))));
}

TEST(Records, ABadRecordIsNamedByFileAndLine) {
  const TemporaryFolder folder;
  const std::string good = R"({"id":"a","text":"Good."})"
                           "\n";
  const std::pair<std::string, std::string> cases[] = {
      {"{\"id\":\"b\",\"text\":", "not valid JSON"},
      {"[1, 2]", "not an object, but array"},
      {R"({"id":"b"})", "no record"},
      {R"({"id":"b","text":" \n"})", "'text' is empty"},
      {R"({"id":"b","text":7})", "'text' is not a text, but number"},
      {R"({"id":"a","text":"Twice."})", "the id 'a' stands in an earlier line"},
      {R"({"id":"b","question":"Q?","answers":["x"]})", "'context' is missing"},
      {R"({"id":"b","context":"C","question":"Q?","answers":"x"})", "'answers' is not a list"},
      {R"({"id":"b","context":"C","question":"Q?","answers":[1]})", "in 'answers', an entry is not a text"},
      {R"({"id":"b","context":"C","qas":[{"question":"Q?","answers":[]},{"answers":[]}]})",
       "question 2: 'question' is missing"},
      {R"({"id":"b","context":"C","qas":[]})", "'qas' is empty"},
      {R"({"id":"b","utterances":[]})", "'utterances' is empty"},
      {R"({"id":"b","sessions":[]})", "'sessions' is empty"},
      {R"({"id":"b","sessions":[{"utterances":[{"text":"x"}]},{"utterances":[]}]})",
       "session 2: 'utterances' is empty"},
      {R"({"id":"b","context":[["T","S"]],"question":"Q?","answers":["x"]})", "no [title, [sentence, ...]]"},
      {R"({"id":"b","context":[["T",[]]],"question":"Q?","answers":["x"]})", "'context' holds no sentences"},
      {R"({"id":"b","context":"C","question":"Q?","answers":["x"],"supporting_facts":[["T",0]]})",
       "'supporting_facts' need"},
      {R"({"id":"b","context":[["T",["S"]]],"question":"Q?","answers":["x"],"supporting_facts":[["T"]]})",
       "no [title, number]"},
      {R"({"id":"b","utterances":[{"speaker":"A"}]})", "utterance 1: 'text' is missing"},
      {R"({"id":"b","text":"x","text":"y"})", "stands twice"},
      {"{\"id\":\"b\",\"text\":\"\xff\"}", "not valid JSON"},
  };
  for (const auto& [line, message] : cases) {
    const auto path = folder.file("data.jsonl", good + "\n" + line + "\n");
    EXPECT_THAT([&] { read_all(path); }, ThrowsMessage<InputError>(AllOf(HasSubstr("data.jsonl:3"), HasSubstr(message),
                                                                         HasSubstr("--skip-bad"))))
        << line;
    DataSource source = read_records(path, {.skip_bad = true}, [](Record&&) {});
    EXPECT_EQ(source.records, 1) << line;
    EXPECT_EQ(source.skipped, 1) << line;
    EXPECT_THAT(source.bad, testing::ElementsAre(HasSubstr("data.jsonl:3"))) << line;
  }
}

TEST(Records, AnotherKindIsABadRecord) {
  DataSource source;
  EXPECT_THAT([&] { read_records_of<QaRecord>(eval_data("dialogue.jsonl"), {}, source); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("dialogue.jsonl:1"), HasSubstr("questions"))));
}

TEST(Records, SessionsAreOneDialogueThatKnowsWhereTheyBegin) {
  const TemporaryFolder folder;
  DataSource source;
  const auto dialogues = read_records_of<DialogueRecord>(
      folder.file("d.jsonl", R"({"sessions":[{"utterances":[{"text":"a"},{"text":"b"}]},{"utterances":[{"text":"c"}]},)"
                             R"({"utterances":[{"speaker":"S","text":"d"}]}]})"
                             "\n"),
      {}, source);
  ASSERT_EQ(dialogues.size(), 1u);
  ASSERT_EQ(dialogues[0].utterances.size(), 4u);
  EXPECT_EQ(dialogues[0].utterances[3].speaker, "S");
  EXPECT_EQ(dialogues[0].session_starts, (std::vector<size_t>{2, 3}));
}

TEST(Records, AContextOfTitlesAndSentences) {
  const TemporaryFolder folder;
  DataSource source;
  const auto questions = read_records_of<QaRecord>(
      folder.file(
          "q.jsonl",
          R"({"context":[["Oslo",["Oslo is a city."," It lies on a fjord."]],["Rome",["Rome is old.","It is big."]]],)"
          R"("question":"Where?","answers":["fjord"],"supporting_facts":[["Oslo",1]]})"
          "\n"),
      {}, source);
  ASSERT_EQ(questions.size(), 1u);
  const QaRecord& q = questions[0];
  EXPECT_EQ(q.context, "Oslo\nOslo is a city. It lies on a fjord.\n\nRome\nRome is old. It is big.");
  ASSERT_EQ(q.sentences.size(), 4u);
  const auto text = [&](size_t i) {
    return q.context.substr(q.sentences[i].begin, q.sentences[i].end - q.sentences[i].begin);
  };
  EXPECT_EQ(text(1), " It lies on a fjord.");
  EXPECT_EQ(text(3), "It is big.");
  EXPECT_EQ(q.sentences[3].title, "Rome");
  EXPECT_EQ(q.sentences[3].number, 1);
  EXPECT_EQ(q.supporting_facts, (std::vector<std::pair<std::string, int64_t>>{{"Oslo", 1}}));
}

TEST(Records, LimitAndNothingLeft) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_all(eval_data("qa.jsonl"), {.limit = 2}).size(), 2u);
  EXPECT_EQ(read_all(eval_data("qa.jsonl"), {.limit = 99}).size(), 5u);
  EXPECT_THAT([&] { read_all(folder.file("empty.jsonl", "\n \n")); },
              ThrowsMessage<InputError>(HasSubstr("no records")));
  EXPECT_THAT([&] { read_all(folder.file("bad.jsonl", "{}\n[]\n"), {.skip_bad = true}); },
              ThrowsMessage<InputError>(HasSubstr("2 bad ones")));
  EXPECT_THAT([&] { read_all(folder.path() / "none.jsonl"); }, ThrowsMessage<InputError>(HasSubstr("no such file")));
  EXPECT_THAT([&] { read_all(folder.path()); }, ThrowsMessage<InputError>(HasSubstr("is a folder")));
}

TEST(Records, PlainTextIsOneDocument) {
  const TemporaryFolder folder;
  const std::string text = "One.\n\nTwo.\n";
  for (const auto& path : {folder.file("novel.txt", text), folder.file("novel.txt.zst", pack(text))}) {
    const auto records = read_all(path);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(std::get<DocumentRecord>(records[0]).text, text);
    EXPECT_EQ(std::get<DocumentRecord>(records[0]).id, path.filename().string());
  }
  EXPECT_THAT([&] { read_all(folder.file("a.png", std::string("\x89PNG\0", 5))); },
              ThrowsMessage<InputError>(HasSubstr("not UTF-8 text (byte 0)")));
}

}  // namespace
}  // namespace steno
