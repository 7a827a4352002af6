// Least frequently attended: evicts what has received least attention since it was read (Attendre, arXiv 2401.04881;
// attendre, sections 4, 5 and 9; cache_policies, section 8).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* lfa_method();

}  // namespace steno
