// First in, first out: the memory that LRA and LFA are compared with (cache_policies, section 8; attendre, section 5).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* fifo_method();

}  // namespace steno
