// Where the model is when no --model says so.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace steno {

// Places of the default model, in the order in which they are looked at.
std::vector<std::filesystem::path> default_model_places();
// `flag` if it is not empty, else $STENO_MODEL, else the first default place that exists.
// Throws InputError that says how to get a model.
std::filesystem::path find_model(const std::string& flag);

}  // namespace steno
