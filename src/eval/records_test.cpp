#include "eval/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "base/error.h"
#include "eval/data.h"
#include "eval/eval_test_util.h"

namespace steno {
namespace {

using test::eval_data;
using test::EvalFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

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

TEST(Records, PackedAndPlainLinesAreTheSame) {
  DataSource plain, packed;
  const auto a = read_records_of<DocumentRecord>(eval_data("documents.jsonl"), {}, plain);
  const auto b = read_records_of<DocumentRecord>(eval_data("documents.jsonl.zst"), {}, packed);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].text, b[i].text);
  EXPECT_NE(plain.hash, packed.hash);  // of the file as it lies there
}

TEST(Records, LinesLongerThanAnyBufferAndSeveralFrames) {
  const EvalFolder folder;
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
  const EvalFolder folder;
  std::string packed = test::read_bytes(eval_data("documents.jsonl.zst"));
  EXPECT_THAT([&] { read_all(folder.file("cut.jsonl.zst", packed.substr(0, packed.size() / 2))); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("cut.jsonl.zst"), HasSubstr("cut off"))));
  packed[0] = 'x';
  EXPECT_THAT([&] { read_all(folder.file("bad.jsonl.zst", packed)); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("bad.jsonl.zst"), HasSubstr("damaged"))));
}

TEST(Records, ABadRecordIsNamedByFileAndLine) {
  const EvalFolder folder;
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

TEST(Records, LimitAndNothingLeft) {
  const EvalFolder folder;
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
  const EvalFolder folder;
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

TEST(DataFiles, SaysWhatToDoWithoutData) {
  const char* old = std::getenv("STENO_DATA");
  const std::string before = old ? old : "";
  DataFiles files("[eval] ppl", {{"data", "books.jsonl.zst", "documents"}, {"essays", "essays.jsonl.zst", "essays"}},
                  {}, {});
  ::unsetenv("STENO_DATA");
  EXPECT_THAT([&] { files.path("data"); },
              ThrowsMessage<UsageError>(
                  AllOf(HasSubstr("--data FILE"), HasSubstr("STENO_DATA"), HasSubstr("books.jsonl.zst"))));
  EXPECT_THAT([&] { files.path("essays"); }, ThrowsMessage<UsageError>(HasSubstr("--data essays=FILE")));
  EXPECT_FALSE(files.can_find("data"));
  ::setenv("STENO_DATA", eval_data("").c_str(), 1);
  EXPECT_THAT([&] { files.path("data"); }, ThrowsMessage<UsageError>(HasSubstr("is not there")));
  DataFiles found("[eval] qa", {{"data", "qa.jsonl", "questions"}}, {}, {{.limit = 2}});
  EXPECT_EQ(found.records_of<QaRecord>("data").size(), 2u);
  EXPECT_EQ(found.records_of<QaRecord>("data", true).size(), 5u);
  EXPECT_EQ(found.sources().size(), 2u);
  old ? ::setenv("STENO_DATA", before.c_str(), 1) : ::unsetenv("STENO_DATA");
}

TEST(DataFiles, SpreadTakesRecordsFromTheWholeFile) {
  const auto ids = [](int64_t limit, bool spread) {
    DataFiles files("[eval] qa", {{"data", "", "questions"}}, {{"data", eval_data("qa.jsonl")}},
                    {{.limit = limit}, spread});
    std::vector<std::string> ids;
    for (const QaRecord& record : files.records_of<QaRecord>("data")) ids.push_back(record.id);
    EXPECT_EQ(files.sources()[0].records, static_cast<int64_t>(ids.size()));
    return ids;
  };
  const auto all = ids(0, false);
  EXPECT_EQ(ids(2, false), (std::vector<std::string>{all[0], all[1]}));
  EXPECT_EQ(ids(2, true), (std::vector<std::string>{all[0], all[2]}));
  EXPECT_EQ(ids(3, true), (std::vector<std::string>{all[0], all[1], all[3]}));
  EXPECT_EQ(ids(5, true), all);
  EXPECT_EQ(ids(9, true), all);
}

}  // namespace
}  // namespace steno
