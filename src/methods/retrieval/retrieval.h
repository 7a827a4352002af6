// Plain retrieval (cache_policies, section 9: R5): the best passages by BM25 are put before the question and read
// again.
#pragma once
#include "methods/method.h"

namespace steno {

const Method* retrieval_method();

}  // namespace steno
