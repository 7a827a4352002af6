#include "report/text.h"

#include <fmt/format.h>

#include <cmath>

namespace steno::report {
namespace {

constexpr const char* kAbsent = "–";

std::string grouped(std::string digits) {
  const size_t start = digits.starts_with('-') ? 1 : 0;
  const size_t point = std::min(digits.find('.'), digits.size());
  for (size_t at = point; at > start + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' && c != '\r')
          out += "\uFFFD";
        else
          out += c;
    }
  }
  return out;
}

std::string script_json(const nlohmann::json& json) {
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '<')
      out += "\\u003c";
    else if (c == '>')
      out += "\\u003e";
    else if (c == '&')
      out += "\\u0026";
    else if (text.compare(i, 3, "\u2028") == 0)
      out += "\\u2028", i += 2;
    else if (text.compare(i, 3, "\u2029") == 0)
      out += "\\u2029", i += 2;
    else
      out += c;
  }
  return out;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z')
      out += static_cast<char>(c - 'A' + 'a');
    else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      out += c;
    else if (!out.empty() && out.back() != '-')
      out += '-';
  }
  while (out.ends_with('-')) out.pop_back();
  return out.empty() ? "x" : out;
}

std::string show_number(std::optional<double> value) {
  if (!value || std::isnan(*value)) return kAbsent;
  const double size = std::abs(*value);
  if (std::isinf(size)) return *value < 0 ? "-∞" : "∞";
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return fmt::format("{:.3g}", *value);
  if (size == std::floor(size)) return grouped(fmt::format("{:.0f}", *value));
  const int decimals = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.001 ? 3 : 5;
  return grouped(fmt::format("{:.{}f}", *value, decimals));
}

std::string show_tick(double value) {
  std::string text = show_number(value);
  if (text.find('.') == std::string::npos || text.find('e') != std::string::npos) return text;
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string show_count(int64_t value) { return grouped(std::to_string(value)); }

std::string show_bytes(std::optional<double> bytes) {
  if (!bytes) return kAbsent;
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = *bytes;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  const int decimals = unit == 0 || value >= 100 || value == std::floor(value) ? 0 : value >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}", value, decimals, kUnits[unit]);
}

std::string show_seconds(std::optional<double> seconds) {
  if (!seconds) return kAbsent;
  if (*seconds >= 120) return fmt::format("{} min", show_number(*seconds / 60));
  if (*seconds < 0.1 && *seconds > 0) return fmt::format("{:.3g} ms", *seconds * 1000);
  return fmt::format("{:.3g} s", *seconds);
}

std::string exact_number(std::optional<double> value) { return value ? fmt::format("{}", *value) : ""; }

}  // namespace steno::report
