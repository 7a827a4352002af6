// StreamingLLM (arXiv 2309.17453): the first tokens as attention sinks and a window of recent ones (cache_policies,
// section 3). The text between them is gone: the window is not extended, it is made stable.
#pragma once
#include "methods/method.h"

namespace steno {

const Method* streaming_llm_method();

}  // namespace steno
