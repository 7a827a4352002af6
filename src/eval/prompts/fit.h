// How much fits: the size of a prompt's variable part for a wanted number of tokens.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace steno {

// The largest n found with count(n) <= target < count(n + 1), for a count that grows with n apart from dips of a token
// or two; `most` where even count(most) fits. `rate` is a guess of what one more n costs. count() is dear (it builds
// and tokenises a prompt): a handful of calls. Throws InputError, which begins with `what`, where count(0) > target.
int64_t fit_size(const std::function<int64_t(int64_t)>& count, int64_t target, int64_t most, double rate,
                 const std::string& what);

// For a part that is cut by the byte: from a size found, on to the nearest that uses the target up, or else the best of
// the next few dozen. count() should hold still what moves in jumps (places that depend on the size).
int64_t use_up(const std::function<int64_t(int64_t)>& count, int64_t target, int64_t size);

}  // namespace steno
