// The one precompiled header. Only what nearly every torch-using file needs; torch/torch.h stays out.
#pragma once
#include <ATen/ATen.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
