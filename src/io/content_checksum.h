// One checksum for everything a file of tensors says, stored among its metadata: a file that was cut or changed is
// found out whoever wrote it.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace steno {

// XXH3-128 over all metadata (but "checksum" itself) and all tensors: name, type, shape and bytes; 32 hexadecimal
// digits. The order of the tensors does not matter.
std::string content_checksum(const std::map<std::string, std::string>& metadata,
                             const std::vector<std::pair<std::string, at::Tensor>>& tensors);

}  // namespace steno
