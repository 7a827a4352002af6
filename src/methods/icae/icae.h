// In-context autoencoder (icae): spans of text become slots that the same, unmodified model reads as embeddings.
#pragma once
#include "methods/method.h"

namespace steno {

const Method* icae_method();

}  // namespace steno
