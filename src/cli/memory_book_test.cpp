// Answers from memory files against the same text read by the decoder: a compressor whose slots are the embeddings of
// the text makes the two equal.
#include "cli/memory_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files_test_util.h"
#include "cli/chat_session.h"
#include "cli/memory_frame.h"
#include "cli/memory_source.h"
#include "memory/compressor_test_util.h"
#include "memory/generate.h"
#include "memory/memory_writer.h"
#include "methods/method.h"

namespace steno {
namespace {

using test::TemporaryFolder;
using test::VerbatimCompressor;
using testing::HasSubstr;

constexpr int64_t kSpan = 16;

const Model& tiny_model() {
  static const Model model =
      load_model(std::string(STENO_SOURCE_DIR) + "/tests/data/tiny_models/llama_tied", {.dtype = at::kFloat});
  return model;
}

std::string story() {
  std::string text;
  for (int i = 0; i < 12; ++i) text += fmt::format("Chapter {} tells of the {} house. ", i, i % 2 ? "red" : "old");
  return text;
}

std::vector<TokenId> ids_of_text(const std::string& text) {
  return tiny_model().tokenizer->encode(text, {.add_special = false, .parse_special = false});
}

// Whole spans alone, so that every span has as many slots as tokens.
std::vector<std::vector<TokenId>> whole_spans(const std::string& text) {
  auto spans = cut_fixed(ids_of_text(text), kSpan);
  if (spans.back().size() < kSpan) spans.pop_back();
  return spans;
}

// Spans `raw` are kept as text.
std::string write_memory(const TemporaryFolder& folder, const std::string& name, const VerbatimCompressor& compressor,
                         const std::vector<std::vector<TokenId>>& spans, bool keep_text, std::vector<size_t> raw = {}) {
  MemoryWriter writer(memory_header(tiny_model(), "verbatim", 1, {}, compressor));
  int64_t bytes = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    NewSpan span;
    span.text = tiny_model().tokenizer->decode(spans[i]);
    span.tokens = spans[i];
    span.keep_text = keep_text;
    span.info.source = "story.txt";
    span.info.byte_begin = bytes;
    span.info.byte_end = bytes += static_cast<int64_t>(span.text.size());
    span.info.token_begin = static_cast<int64_t>(i) * kSpan;
    span.info.token_end = span.info.token_begin + kSpan;
    span.info.opens_document = i == 0;
    if (std::find(raw.begin(), raw.end(), i) != raw.end())
      span.info.kind = SpanKind::raw;
    else
      span.slots = compressor.compress({&spans[i], 1})[0];
    writer.add(span, SlotType::f32);
  }
  const std::string path = (folder.path() / name).string();
  writer.write(path);
  return path;
}

std::vector<TokenId> joined(std::initializer_list<std::vector<TokenId>> parts) {
  std::vector<TokenId> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<TokenId> dense_answer(const std::vector<TokenId>& prompt, const GenerateOptions& options) {
  const auto stream = method_named("dense").open_stream(tiny_model().decoder, {});
  return generate(*stream, tiny_model().tokenizer, prompt, options).tokens;
}

GenerateOptions greedy_options(int64_t tokens) {
  GenerateOptions options;
  options.sampler.temperature = 0;
  options.max_new_tokens = tokens;
  return options;
}

TEST(MemoryBook, AnswersFromAFileAreThoseFromTheText) {
  const TemporaryFolder folder;
  const auto compressor = std::make_shared<VerbatimCompressor>(tiny_model().decoder, kSpan, 4096);
  const auto spans = whole_spans(story());
  ASSERT_GT(spans.size(), 4u);
  const std::string path = write_memory(folder, "story.memory", *compressor, spans, false, {1, 3});
  auto passages = passages_of(MemoryFile::open(path), *tiny_model().tokenizer);
  ASSERT_EQ(passages.size(), spans.size());
  EXPECT_TRUE(passages[1].raw());
  EXPECT_FALSE(passages[0].raw());
  // A second document, as text, in the same call.
  const std::string note = "A note: the garden is behind the red house.";
  auto more = passages_of_text("note.txt", note, *tiny_model().tokenizer, kSpan);
  EXPECT_EQ(more.front().source.rfind("note.txt tokens 0..", 0), 0u);
  std::move(more.begin(), more.end(), std::back_inserter(passages));

  const std::vector<TokenId> opening = ids_of_text("User says: "), question = ids_of_text(" Where is it?");
  MemoryBook book(compressor, std::move(passages), opening, ChoiceRule::automatic);
  const auto stream = book.open(question, 100, false);
  const auto got = generate(*stream, tiny_model().tokenizer, question, greedy_options(12)).tokens;
  std::vector<TokenId> text = opening;
  for (const auto& span : spans) text.insert(text.end(), span.begin(), span.end());
  EXPECT_EQ(got, dense_answer(joined({text, ids_of_text(note), question}), greedy_options(12)));

  const BookReading& reading = book.reading();
  EXPECT_EQ(reading.slots, static_cast<int64_t>(spans.size() - 2) * kSpan);
  EXPECT_EQ(reading.slot_tokens, reading.slots);
  EXPECT_EQ(reading.text_tokens, 2 * kSpan + static_cast<int64_t>(ids_of_text(note).size()));
  EXPECT_EQ(reading.unread_tokens, 0);
  EXPECT_THAT(reading_text(book, reading, {}), HasSubstr("all "));
  const Json json = reading_json(book, reading, answer_bytes(stream->accounting()));
  EXPECT_EQ(json["chosen_by"], "all");
  EXPECT_TRUE(json["unread"].empty());
}

TEST(MemoryBook, WhatDoesNotFitIsListed) {
  const TemporaryFolder folder;
  const auto compressor = std::make_shared<VerbatimCompressor>(tiny_model().decoder, kSpan, 3 * kSpan + 20);
  auto spans = whole_spans(story());
  ASSERT_GT(spans.size(), 5u);
  const std::string path = write_memory(folder, "story.memory", *compressor, spans, true);
  const std::vector<TokenId> opening = ids_of_text("Hi ");
  const auto others = static_cast<int64_t>(19 - opening.size());  // with the task's token: room for exactly three
  MemoryBook book(compressor, passages_of(MemoryFile::open(path), *tiny_model().tokenizer), opening,
                  ChoiceRule::automatic);
  // The words of one span, more than once: bm25 must read that span.
  for (const size_t wanted : {size_t{4}, size_t{0}, size_t{0}}) {
    std::vector<TokenId> question = joined({spans[wanted], spans[wanted], spans[wanted]});
    const auto stream = book.open(question, others, true);
    const BookReading& reading = book.reading();
    EXPECT_EQ(reading.choice.rule, ChoiceRule::bm25);
    ASSERT_EQ(reading.choice.read.size(), 3u);
    EXPECT_EQ(reading.choice.unread.size(), spans.size() - 3);
    EXPECT_EQ(std::count(reading.choice.read.begin(), reading.choice.read.end(), wanted), 1);
    EXPECT_EQ(reading.unread_tokens, static_cast<int64_t>(spans.size() - 3) * kSpan);
    EXPECT_EQ(stream->accounting().slots, 3 * kSpan + static_cast<int64_t>(opening.size()));
    std::vector<TokenId> text = opening;
    for (const size_t i : reading.choice.read) text.insert(text.end(), spans[i].begin(), spans[i].end());
    const auto asked = ids_of_text(" What?");
    EXPECT_EQ(generate(*stream, tiny_model().tokenizer, asked, greedy_options(5)).tokens,
              dense_answer(joined({text, asked}), greedy_options(5)));
    const Json json = reading_json(book, reading, {});
    EXPECT_EQ(json["chosen_by"], "bm25");
    EXPECT_EQ(json["unread_spans"].size(), spans.size() - 3);
    EXPECT_THAT(reading_text(book, reading, {}), HasSubstr("not read: "));
  }
  EXPECT_THROW(book.open(spans[0], 4096, true), InputError);
}

TEST(MemoryBook, BytesAgainstTheTextItself) {
  Accounting memory;
  memory.slots = 100, memory.memory_bytes = 100 * 64, memory.source_tokens = 400;
  EXPECT_EQ(answer_bytes(memory).resident, 6400);
  EXPECT_EQ(answer_bytes(memory).dense, 25600);
  EXPECT_EQ(answer_bytes(memory).share(), 0.25);
  EXPECT_EQ(answer_bytes({}).share(), 0);
}

TEST(MemoryBook, Ranges) {
  EXPECT_EQ(ranges_text(std::vector<size_t>{0, 1, 2, 3, 7, 9, 10}), "0..3, 7, 9..10");
  EXPECT_EQ(ranges_text(std::vector<size_t>{}), "");
}

TEST(MemorySource, FilesAreKnownByTheirContent) {
  const TemporaryFolder folder;
  const VerbatimCompressor compressor(tiny_model().decoder, kSpan, 4096);
  const std::string path = write_memory(folder, "story.txt", compressor, whole_spans(story()), true);
  const std::string text = folder.file("plain", "Just words.");
  const MemoryNames names = look_for_memories("ask", {path, text, "-"});
  EXPECT_EQ(names.is_memory, (std::vector<bool>{true, false, false}));
  EXPECT_TRUE(names.any());
  EXPECT_FALSE(look_for_memories("ask", {text}).any());
  const std::string wrong = folder.file("wrong.memory", "Just words.");
  try {
    look_for_memories("ask", {wrong});
    FAIL() << "a text called .memory was taken";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is no memory file"));
  }
  try {
    open_memories("ask", names, tiny_model(), {});
    FAIL() << "a method that does not exist was opened";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("'verbatim', which this steno does not know"));
  }
}

TEST(MemorySource, Settings) {
  EXPECT_EQ(parse_settings("ask", {"adapter=a=b"}), (FieldValues{{"adapter", "a=b"}}));
  EXPECT_THROW(parse_settings("ask", {"adapter"}), UsageError);
  EXPECT_THROW(parse_settings("ask", {"a=1", "a=2"}), UsageError);
}

TEST(ChatMemory, AConversationBehindAMemoryIsOneBehindItsText) {
  const auto compressor = std::make_shared<VerbatimCompressor>(tiny_model().decoder, kSpan, 4096);
  const auto& tokenizer = tiny_model().tokenizer;
  const ChatFormat format = ChatFormat::named("chatml");
  const auto spans = whole_spans(story());
  std::vector<Passage> passages;
  std::vector<TokenId> text;
  for (const auto& span : spans) {
    Passage passage;
    passage.source_tokens = passage.slots = kSpan;
    passage.load = [slots = compressor->compress({&span, 1})[0]] { return slots; };
    passages.push_back(std::move(passage));
    text.insert(text.end(), span.begin(), span.end());
  }
  const ChatTurns pieces(tokenizer, format, "");
  const MemoryFrame frame = memory_frame(*compressor, *tokenizer, format, {});
  const std::vector<TokenId> first = frame.question(*tokenizer, "Who?");
  MemoryBook book(compressor, passages, frame.before, ChoiceRule::automatic);
  int reads = 0;
  ChatSession session(tiny_model(), method_named("dense"), {}, format, "", {},
                      {{},
                       [&] { return compressor->open_reader(); },
                       [&](const std::string& text) { return frame.question(*tokenizer, text); },
                       [&](const std::string& first, int64_t others) {
                         ++reads;
                         return book.open(tokenizer->encode(first), others, false);
                       }});
  const ChatAnswer one = session.say("Who?", greedy_options(6));
  const auto prompt = joined({frame.before, text, first});
  EXPECT_EQ(one.generated.tokens, dense_answer(prompt, greedy_options(6)));
  EXPECT_EQ(one.read_tokens, static_cast<int64_t>(first.size()));
  const ChatAnswer two = session.say("And then?", greedy_options(6));
  EXPECT_EQ(two.generated.tokens,
            dense_answer(joined({prompt, one.generated.tokens, pieces.close(), pieces.open(false, "And then?")}),
                         greedy_options(6)));
  EXPECT_EQ(reads, 1);
  ASSERT_TRUE(session.undo());
  EXPECT_EQ(session.say("And then?", greedy_options(6)).generated.tokens, two.generated.tokens);
  ASSERT_TRUE(session.undo());
  ASSERT_TRUE(session.undo());
  EXPECT_EQ(session.say("Who?", greedy_options(6)).generated.tokens, one.generated.tokens);
  session.reset();
  EXPECT_EQ(session.say("Who?", greedy_options(6)).generated.tokens, one.generated.tokens);
  EXPECT_EQ(reads, 3);
}

}  // namespace
}  // namespace steno
