// Files, patterns and standard input as texts.
#pragma once
#include <string>
#include <vector>

namespace steno {

struct Document {
  std::string name;  // as the user wrote it; "standard input" for "-"
  std::string text;
};

// The bytes of a file, a pipe, or standard input ("-"). `owner` begins the message. Throws InputError (missing, a
// folder, not readable), ResourceError (does not fit in memory).
std::string read_bytes(const std::string& owner, const std::string& path);
// The same, and it must be text: UTF-8, not binary, and more than white space.
std::string read_text(const std::string& owner, const std::string& path);

// Names as given, with patterns that the shell left alone ("books/*.txt") expanded in alphabetical order. A file whose
// name happens to look like a pattern is that file. Throws InputError when nothing matches, UsageError for two "-".
std::vector<std::string> expand_names(const std::string& owner, const std::vector<std::string>& names);
std::vector<Document> read_documents(const std::string& owner, const std::vector<std::string>& names);
// One text to read. Where there are several documents each is introduced by its name.
std::string join_documents(const std::vector<Document>& documents);

}  // namespace steno
