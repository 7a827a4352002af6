// SnapKV (arXiv 2404.14469): keeps what the last tokens of a prompt attend to, with its neighbours (cache_policies,
// section 6).
#pragma once
#include "methods/method.h"

namespace steno {

const Method* snapkv_method();

}  // namespace steno
