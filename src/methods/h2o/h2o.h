// H2O (arXiv 2306.14048): keeps the slots that have received most attention so far and the newest ones (cache_policies,
// section 5).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* h2o_method();

}  // namespace steno
