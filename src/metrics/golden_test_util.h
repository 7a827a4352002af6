// Reads tests/data/metrics, what the reference packages say (tests/golden/make_metrics_golden.py).
#pragma once
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace steno {

// The part `key` of the file `name`; by value, so that a loop over it keeps it alive.
inline nlohmann::json read_golden(const std::string& name, const std::string& key) {
  std::ifstream file(std::string(STENO_SOURCE_DIR) + "/tests/data/metrics/" + name);
  if (!file) throw std::runtime_error("tests/data/metrics/" + name + " is missing");
  nlohmann::json part = nlohmann::json::parse(file).at(key);
  if (part.empty()) throw std::runtime_error("tests/data/metrics/" + name + ": nothing in " + key);
  return part;
}

struct GoldenPair {
  std::string hypothesis;
  std::vector<std::string> references;
};

inline std::vector<GoldenPair> golden_pairs() {
  std::vector<GoldenPair> pairs;
  for (const auto& pair : read_golden("pairs.json", "pairs"))
    pairs.push_back({pair.at(0).get<std::string>(), pair.at(1).get<std::vector<std::string>>()});
  if (pairs.size() < 300) throw std::runtime_error("pairs.json holds too few pairs");
  return pairs;
}

}  // namespace steno
