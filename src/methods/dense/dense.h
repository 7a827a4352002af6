// Dense: keeps every key and value. The upper bound of quality up to the trained length (cache_policies, section 1).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* dense_method();

}  // namespace steno
