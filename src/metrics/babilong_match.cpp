#include "metrics/babilong_match.h"

#include <algorithm>
#include <set>

#include "metrics/python_text.h"

namespace steno {
namespace {

std::set<std::string> split_target(const std::string& target) {
  if (target.size() <= 3) return {target};
  std::set<std::string> parts;
  for (size_t begin = 0; begin <= target.size();) {
    const size_t end = std::min(target.find(',', begin), target.size());
    parts.insert(strip(target.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

bool matches_babilong(std::string_view output, std::string_view question, std::string_view target,
                      std::span<const std::string> labels) {
  std::string answer = to_lower(output);
  for (const char* end : {".", "<context>", "<example>"}) answer.resize(std::min(answer.find(end), answer.size()));
  const std::string asked = to_lower(question);
  std::set<std::string> named;
  for (const auto& label : labels) {
    const std::string lower = to_lower(label);
    if (answer.find(lower) != std::string::npos && asked.find(lower) == std::string::npos) named.insert(lower);
  }
  return named == split_target(to_lower(target));
}

}  // namespace steno
