// Sliding window with recomputation (cache_policies, section 9: R3, R4): the memory is the text of the window.
#pragma once
#include "methods/method.h"

namespace steno {

const Method* recompute_method();

}  // namespace steno
