// Local window: the newest tokens only (cache_policies, section 2). Quality collapses once the first token, which serves
// many models as an attention sink, has left.
#pragma once
#include "methods/method.h"

namespace steno {

const Method* window_method();

}  // namespace steno
