// Heat maps: one coloured cell per value, the number in it.
#include <algorithm>
#include <cmath>

#include "report/svg.h"
#include "report/text.h"

namespace steno::report {
namespace {

constexpr double kCellWidth = 46, kCellHeight = 24, kTop = 20;

int colour(double value, const HeatMap& map) {
  if (!(map.high > map.low)) return kHeatColours - 1;
  const double share = std::clamp((value - map.low) / (map.high - map.low), 0.0, 1.0);
  return static_cast<int>(std::lround(share * (kHeatColours - 1)));
}

}  // namespace

std::string heat_map_svg(const HeatMap& map, Use use) {
  double left = text_width(map.row_label) + 8;
  for (const std::string& row : map.rows) left = std::max(left, text_width(row) + 8);
  double cell_width = kCellWidth;
  for (const std::string& column : map.columns) cell_width = std::max(cell_width, text_width(column) + 8);
  const double width = left + cell_width * static_cast<double>(map.columns.size()) + 2;
  const double bottom = kTop + kCellHeight * static_cast<double>(map.rows.size());

  std::string body = svg_text(left - 8, 12, "end", "axis-name", map.row_label);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double top = kTop + kCellHeight * static_cast<double>(r);
    body += svg_text(left - 8, top + 16, "end", "tick", map.rows[r]) + "\n";
    for (size_t c = 0; c < map.columns.size(); ++c) {
      const HeatCell& cell = map.cells[r][c];
      const double x = left + cell_width * static_cast<double>(c);
      const std::string shade = cell.value ? "q" + std::to_string(colour(*cell.value, map)) : "none";
      body += fmt::format(
          "<g class=\"cell {}\" data-point=\"\"><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
          shade, escape(cell.label), px(x), px(top), px(cell_width - 1), px(kCellHeight - 1));
      body += svg_text(x + cell_width / 2, top + 16, "middle", "value", cell.text) + "</g>\n";
    }
  }
  for (size_t c = 0; c < map.columns.size(); ++c)
    body +=
        svg_text(left + cell_width * (static_cast<double>(c) + 0.5), bottom + 14, "middle", "tick", map.columns[c]) +
        "\n";
  body += svg_text(left + (width - left) / 2, bottom + 30, "middle", "axis-name", map.column_label) + "\n";

  if (use == Use::in_page) return svg_picture(width, bottom + 36, map.title, body, use);
  body = svg_text(12, 22, "start", "title", map.title) + "<g transform=\"translate(12 34)\">\n" + body + "</g>\n";
  return svg_picture(std::max(width, 8 + text_width(map.title) * 1.15) + 24, bottom + 36 + 46, map.title, body, use);
}

}  // namespace steno::report
