// Standard output, with every write checked: a full disk is an error, a reader that has gone ends the program quietly.
#pragma once
#include <nlohmann/json.hpp>
#include <string_view>

namespace steno {

using Json = nlohmann::ordered_json;

// Thrown when whoever read standard output closed it (`steno ... | head -c 10`): nobody is left to write for.
struct ReaderGone {};

class StandardOutput {
 public:
  // All throw ResourceError (disk full, closed descriptor) or ReaderGone.
  void write(std::string_view text);
  // What a model wrote, or a stored piece of a text: bytes that are no whole character become U+FFFD.
  void write_text(std::string_view text);
  // One object or array and a line break. Bytes that are not UTF-8 become U+FFFD.
  void write_json(const Json& json);
  // Some file systems report a full disk only here. Nothing can be written after it.
  void close();
  bool used() const { return used_; }

 private:
  bool used_ = false;
};

// Call first in main(): SIGPIPE becomes a write error, and descriptors 0-2 that the caller closed are taken, so that no
// file of ours is opened in their place.
void prepare_standard_streams();

}  // namespace steno
