#include "io/json.h"

#include <unordered_set>

#include "base/error.h"
#include "io/shown.h"

namespace steno {

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  constexpr int kMaxDepth = 64;
  using Event = nlohmann::json::parse_event_t;
  std::vector<std::unordered_set<std::string>> names;  // of the objects that are open
  const auto check = [&](int depth, Event event, nlohmann::json& value) {
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kMaxDepth) throw InputError("{}: nested deeper than {} levels", where, kMaxDepth);
    }
    if (event == Event::object_start) names.emplace_back();
    if (event == Event::object_end) names.pop_back();
    if (event == Event::key && !names.back().insert(value.get_ref<const std::string&>()).second)
      throw InputError("{}: '{}' stands twice in one object", where, shown(value.get_ref<const std::string&>()));
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::parse_error& error) {
    throw InputError("{}: not valid JSON at byte {}", where, error.byte);
  } catch (const nlohmann::json::exception&) {
    throw InputError("{}: not valid JSON (a number is out of range)", where);
  }
}

}  // namespace steno
