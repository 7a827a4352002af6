// Text of SVG elements, shared by the kinds of plots.
#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "report/plot.h"

namespace steno::report {

// Two decimals at most: sub-pixel, and the same text on every machine.
std::string px(double value);
// anchor: "start", "middle" or "end".
std::string svg_text(double x, double y, const char* anchor, const char* classes, std::string_view text);
std::string svg_line(double x1, double y1, double x2, double y2, const char* classes);
// Marker of a style, centred on x, y, with its tooltip.
std::string svg_marker(int style, double x, double y, std::string_view label);
std::string dash_class(int style);
// Rough width of a label of the plots' 11 px font.
double text_width(std::string_view text);

// The whole picture: `body` inside <svg>; in files with style sheet, background and name space.
std::string svg_picture(double width, double height, const std::string& title, const std::string& body, Use use);

}  // namespace steno::report
