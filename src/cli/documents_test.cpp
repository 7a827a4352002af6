#include "cli/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files_test_util.h"

namespace steno {
namespace {

using test::TemporaryFolder;
using testing::HasSubstr;

// The message of the error that `action` throws, with its exit code in front.
template <class Action>
std::string failure(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return fmt::format("{}: {}", static_cast<int>(error.code()), error.what());
  }
  return "no error";
}

TEST(Documents, TextIsReadAsItIs) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.txt", "caf\xc3\xa9\r\n\n");
  EXPECT_EQ(read_text("ask", path), "caf\xc3\xa9\r\n\n");
}

TEST(Documents, EachKindOfBadFileHasItsMessage) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& path) { return failure([&] { read_text("ask", path); }); };
  EXPECT_THAT(message((folder.path() / "none").string()),
              testing::AllOf(HasSubstr("3: [ask] "), HasSubstr("none: no such file")));
  EXPECT_THAT(message(folder.file("empty", "")), HasSubstr("empty: is empty"));
  EXPECT_THAT(message(folder.file("blank", " \n\t\n")), HasSubstr("is empty"));
  EXPECT_THAT(message(folder.file("latin1", "caf\xe9 au lait")), HasSubstr("byte 0xe9 at offset 3"));
  EXPECT_THAT(message(folder.file("cut", "caf\xc3")), HasSubstr("byte 0xc3 at offset 3"));
  EXPECT_THAT(message(folder.file("zero", std::string("ab\0cd", 5))), HasSubstr("byte 0x00 at offset 2"));
  EXPECT_THAT(message(folder.path().string()), HasSubstr("is a folder; name its files"));
}

TEST(Documents, PatternsThatTheShellLeftAreExpandedInOrder) {
  const TemporaryFolder folder;
  const std::string b = folder.file("b.txt", "b"), a = folder.file("a.txt", "a"), odd = folder.file("[x].md", "odd");
  EXPECT_THAT(expand_names("ask", {(folder.path() / "*.txt").string()}), testing::ElementsAre(a, b));
  EXPECT_THAT(expand_names("ask", {odd}), testing::ElementsAre(odd)) << "a file of that very name wins";
  EXPECT_THAT(failure([&] { expand_names("ask", {(folder.path() / "*.pdf").string()}); }),
              HasSubstr("no file matches this pattern"));
  EXPECT_THAT(failure([] { expand_names("ask", {"-", "-"}); }), HasSubstr("2: [ask] '-' is given twice"));
}

TEST(Documents, SeveralDocumentsAreIntroducedByName) {
  EXPECT_EQ(join_documents({{"a.txt", "one\n"}}), "one\n");
  EXPECT_EQ(join_documents({{"a.txt", "one\n"}, {"b.txt", "two"}, {"c.txt", "three"}}),
            "File a.txt:\n\none\n\nFile b.txt:\n\ntwo\n\nFile c.txt:\n\nthree");
}

}  // namespace
}  // namespace steno
