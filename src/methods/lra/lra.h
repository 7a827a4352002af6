// Least recently attended: evicts what no query has attended to for longest (Attendre, arXiv 2401.04881; attendre,
// sections 4, 5 and 9; cache_policies, section 8).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* lra_method();

}  // namespace steno
