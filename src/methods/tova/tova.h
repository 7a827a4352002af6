// TOVA (arXiv 2401.06104): keeps what the newest token attends to (cache_policies, section 7).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* tova_method();

}  // namespace steno
