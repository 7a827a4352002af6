// Texts of the page: escapes, and numbers as people read them.
#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace steno::report {

// For HTML and XML, in text and in quoted attributes. Control characters that XML forbids become U+FFFD.
std::string escape(std::string_view text);
// JSON that may stand inside <script>: no '<', '>' or '&', and no line separators, in it.
std::string script_json(const nlohmann::json& json);
// A field of a CSV file (RFC 4180).
std::string csv_field(std::string_view text);
// A part of a file name or of an id: lower case letters, digits and '-'.
std::string slug(std::string_view text);

// Four significant digits at most, "1,234" for large whole numbers; "–" for what is absent.
std::string show_number(std::optional<double> value);
std::string show_tick(double value);    // without zeros at the end: "0.8"
std::string show_count(int64_t value);  // "12,345"
std::string show_bytes(std::optional<double> bytes);
std::string show_seconds(std::optional<double> seconds);
// The shortest text that reads back as the same number; "" for what is absent.
std::string exact_number(std::optional<double> value);

}  // namespace steno::report
