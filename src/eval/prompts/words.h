// Small word lists that keys, names and objects are drawn from.
#pragma once
#include <string>
#include <vector>

#include "base/random.h"

namespace steno {

const std::vector<std::string>& adjectives();
const std::vector<std::string>& nouns();
const std::vector<std::string>& first_names();
const std::vector<std::string>& last_names();

// "quiet-lantern": one of some 10,000.
std::string random_key(Random& random);
// "Mirela Hargrove".
std::string random_name(Random& random);

}  // namespace steno
