// BigBird-like sparse reading (arXiv 2007.14062, causal; cache_policies, section 4): every token reads a window, the
// first tokens and a few drawn at random.
#pragma once
#include "methods/method.h"

namespace steno {

const Method* bigbird_method();

}  // namespace steno
