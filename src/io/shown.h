// Text from outside, made fit for a message of one line.
#pragma once
#include <string>
#include <string_view>

namespace steno {

// Cut after 120 bytes at a character border; control characters, and all of a text that is not UTF-8, as '?'.
std::string shown(std::string_view text);

}  // namespace steno
