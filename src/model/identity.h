// What a saved memory belongs to, as hashes: keys and values mean something under one set of weights, one tokenizer and
// one rotation only. Full rules for memories that wander between programs come with memory files; this is their seam.
#pragma once
#include <map>
#include <string>

#include "model/loader.h"

namespace steno {

// XXH3-128 hashes, 32 hexadecimal digits each:
//   model      the bytes of the weight files (a GGUF file, or every .safetensors of a folder, by name) and the numbers
//              of the configuration that are not below
//   rope       everything that decides how a key is turned at a position
//   tokenizer  hash_tokenizer() of io/file_hash.h, and the ids of a text that exercises the merges
// Reads the weight files once: about a second for ten gigabytes that are cached. Throws InputError.
std::map<std::string, std::string> identity_of(const Model& model);

std::string hash_weights(const Model& model);
std::string hash_rope(const ModelConfig& config);
std::string hash_tokenisation(const Tokenizer& tokenizer);

}  // namespace steno
