#include "report/svg.h"

#include <cmath>

#include "report/embedded.h"
#include "report/text.h"

namespace steno::report {

std::string px(double value) {
  const double rounded = std::round(value * 100) / 100;
  return fmt::format("{}", rounded == 0 ? 0.0 : rounded);
}

std::string svg_text(double x, double y, const char* anchor, const char* classes, std::string_view text) {
  return fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\" class=\"{}\">{}</text>", px(x), px(y), anchor, classes,
                     escape(text));
}

std::string svg_line(double x1, double y1, double x2, double y2, const char* classes) {
  return fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>", px(x1), px(y1), px(x2), px(y2),
                     classes);
}

std::string svg_marker(int style, double x, double y, std::string_view label) {
  const auto path = [&](std::string_view d) {
    return fmt::format("<path class=\"mark\" transform=\"translate({} {})\" d=\"{}\"", px(x), px(y), d);
  };
  std::string shape;
  switch (style % 5) {
    case 0:
      shape = fmt::format("<circle class=\"mark\" cx=\"{}\" cy=\"{}\" r=\"3.6\"", px(x), px(y));
      break;
    case 1:
      shape = path("M-3.3-3.3h6.6v6.6h-6.6z");
      break;
    case 2:
      shape = path("M0-4.4 4.2 3.1h-8.4z");
      break;
    case 3:
      shape = path("M0-4.6 4.6 0 0 4.6-4.6 0z");
      break;
    default:
      shape = path("M0 4.4-4.2-3.1h8.4z");
  }
  if (label.empty()) return shape + "/>";
  return shape +
         fmt::format(" data-point=\"\"><title>{}</title></{}>", escape(label), style % 5 == 0 ? "circle" : "path");
}

std::string dash_class(int style) { return style / kStyles % 2 ? " dash" : ""; }

double text_width(std::string_view text) {
  constexpr std::string_view kNarrow = ".,: ilj|'", kWide = "mwMW%";
  double width = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;
    if (kNarrow.find(c) != std::string_view::npos)
      width += 3.5;
    else if (kWide.find(c) != std::string_view::npos)
      width += 9.8;
    else
      width += c >= 'A' && c <= 'Z' ? 7.6 : 6.6;
  }
  return width;
}

std::string svg_picture(double width, double height, const std::string& title, const std::string& body, Use use) {
  std::string out;
  const std::string size = fmt::format("viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\"", px(width), px(height));
  if (use == Use::file) {
    out = fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" {} "
        "role=\"img\">\n<title>{}</title>\n<style>\n{}</style>\n<rect class=\"ground\" width=\"100%\" "
        "height=\"100%\"/>\n",
        size, escape(title), embedded::plot_css());
  } else {
    out = fmt::format("<svg class=\"plot\" {} role=\"group\" aria-label=\"{}\" tabindex=\"0\">\n", size, escape(title));
  }
  return out + body + "</svg>\n";
}

}  // namespace steno::report
