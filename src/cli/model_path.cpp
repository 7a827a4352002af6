#include "cli/model_path.h"

#include <cstdlib>

#include "base/error.h"

namespace steno {
namespace {

namespace fs = std::filesystem;
constexpr const char* kDefault = "SmolLM2-135M-Instruct.Q4_1.gguf";

}  // namespace

std::vector<fs::path> default_model_places() {
  std::vector<fs::path> places = {fs::path("models") / kDefault};
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    // build/release/steno inside a source tree, or PREFIX/bin/steno.
    const fs::path two_up = program.parent_path().parent_path().parent_path();
    places.push_back(two_up / "models" / kDefault);
    places.push_back(program.parent_path().parent_path() / "share/steno/models" / kDefault);
  }
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) {
    places.push_back(fs::path(cache) / "steno" / kDefault);
  } else if (const char* home = std::getenv("HOME"); home && *home) {
    places.push_back(fs::path(home) / ".cache/steno" / kDefault);
  }
  return places;
}

fs::path find_model(const std::string& flag) {
  if (!flag.empty()) {
    if (!fs::exists(flag)) throw InputError("[model] {}: no such file or folder", flag);
    return flag;
  }
  if (const char* named = std::getenv("STENO_MODEL"); named && *named) {
    if (!fs::exists(named)) throw InputError("[model] $STENO_MODEL names {}, which does not exist", named);
    return named;
  }
  for (const fs::path& place : default_model_places())
    if (fs::exists(place)) return place;
  throw InputError(
      "[model] no model: pass --model FILE, set STENO_MODEL, or run 'make model' to fetch the default one");
}

}  // namespace steno
