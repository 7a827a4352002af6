// Lines with error bars, reference lines, legend.
#include <algorithm>
#include <cmath>

#include "report/svg.h"
#include "report/text.h"

namespace steno::report {
namespace {

constexpr double kWidth = 380, kPlotHeight = 190, kTop = 26, kRight = 14, kDodge = 2.5, kLegendRow = 16;

struct Frame {
  double left, right, top, bottom;
};

std::string axes(const Chart& chart, const Scale& x, const Scale& y, const Frame& frame) {
  std::string out = svg_text(0, 11, "start", "axis-name", chart.y_label);
  for (const double tick : y.ticks(6)) {
    out += svg_line(frame.left, y(tick), frame.right, y(tick), "grid");
    out += svg_text(frame.left - 6, y(tick) + 3.8, "end", "tick", chart.y_format(tick)) + "\n";
  }
  out += svg_line(frame.left, frame.bottom, frame.right, frame.bottom, "axis") + "\n";
  double free_from = -1e9;  // labels that would touch the one before are left out, their ticks are not
  for (const double tick : chart.x_ticks.empty() ? x.ticks(7) : chart.x_ticks) {
    const std::string label = chart.x_format(tick);
    const double at = x(tick), half = text_width(label) / 2;
    out += svg_line(at, frame.bottom, at, frame.bottom + 4, "axis");
    if (at - half < free_from) continue;
    out += svg_text(std::min(at, kWidth - half), frame.bottom + 16, "middle", "tick", label) + "\n";
    free_from = at + half + 6;
  }
  return out + svg_text((frame.left + frame.right) / 2, frame.bottom + 32, "middle", "axis-name", chart.x_label) + "\n";
}

std::string draw(const Series& series, double shift, const Scale& x, const Scale& y) {
  std::string line, bars, marks;
  for (const Point& point : series.points) {
    const double at = x(point.x) + shift;
    line += fmt::format("{}{} {}", line.empty() ? "M" : "L", px(at), px(y(point.y)));
    if (point.low && point.high)
      bars +=
          fmt::format("M{0} {1}V{2}M{3} {1}h5M{3} {2}h5", px(at), px(y(*point.low)), px(y(*point.high)), px(at - 2.5));
    marks += svg_marker(series.style, at, y(point.y), point.label) + "\n";
  }
  std::string out = fmt::format("<g class=\"s{}\" data-series=\"{}\">\n", series.style % kStyles, series.style);
  if (!bars.empty()) out += fmt::format("<path class=\"bar\" d=\"{}\"/>\n", bars);
  if (series.points.size() > 1)
    out += fmt::format("<path class=\"line{}\" d=\"{}\"/>\n", dash_class(series.style), line);
  return out + marks + "</g>\n";
}

std::string draw(const Reference& reference, const Scale& y, const Frame& frame) {
  const double at = y(reference.y);
  return fmt::format(
      "<g class=\"s{0}\" data-series=\"{1}\"><path class=\"ref\" d=\"M{2} {3}H{4}\" data-point=\"\"><title>{5}"
      "</title></path></g>\n",
      reference.style % kStyles, reference.style, px(frame.left), px(at), px(frame.right), escape(reference.label));
}

struct Legend {
  std::string body;
  double height = 0;
};

Legend legend(const Chart& chart, double top) {
  Legend legend;
  double x = 0, y = top;
  const auto add = [&](int style, bool reference, const std::string& name) {
    const double width = 30 + text_width(name) + 12;
    if (x > 0 && x + width > kWidth) x = 0, y += kLegendRow;
    legend.body += fmt::format("<g class=\"s{}\" transform=\"translate({} {})\">", style % kStyles, px(x), px(y));
    legend.body += reference ? "<path class=\"ref\" d=\"M0 0H24\"/>"
                             : fmt::format("<path class=\"line{}\" d=\"M0 0H24\"/>", dash_class(style)) +
                                   svg_marker(style, 12, 0, "");
    legend.body += "</g>" + svg_text(x + 30, y + 4, "start", "tick", name) + "\n";
    x += width;
  };
  for (const Series& series : chart.series) add(series.style, false, series.name);
  for (const Reference& reference : chart.references) add(reference.style, true, reference.name);
  legend.height = y - top + kLegendRow;
  return legend;
}

}  // namespace

std::string chart_svg(const Chart& chart, Use use) {
  double low = INFINITY, high = -INFINITY;
  for (const Series& series : chart.series)
    for (const Point& point : series.points) low = std::min(low, point.x), high = std::max(high, point.x);
  if (low > high) low = 0, high = 1;

  const bool file = use == Use::file;
  const double title = file ? 20 : 0;
  Scale y(chart.y_kind, chart.y_low, chart.y_high, kTop + kPlotHeight, kTop);
  double widest = 0;
  for (const double tick : y.ticks(6)) widest = std::max(widest, text_width(chart.y_format(tick)));
  const Frame frame{widest + 10, kWidth - kRight, kTop, kTop + kPlotHeight};
  // Points keep off the frame, so that neither markers nor error bars are cut by it.
  const Scale x(chart.x_kind, low, high, frame.left + 14, frame.right - 14);

  std::string body = axes(chart, x, y, frame);
  for (const Reference& reference : chart.references) body += draw(reference, y, frame);
  const double middle = (static_cast<double>(chart.series.size()) - 1) / 2;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const double shift = std::clamp((static_cast<double>(i) - middle) * kDodge, -11.0, 11.0);
    body += draw(chart.series[i], chart.side_by_side ? shift : 0, x, y);
  }

  double height = frame.bottom + 40;
  if (file) {
    const Legend signs = legend(chart, height + 10);
    body = svg_text(12, 22, "start", "title", chart.title) +
           fmt::format("<g transform=\"translate(12 {})\">\n", px(12 + title)) + body + signs.body + "</g>\n";
    height += signs.height + title + 28;
  }
  return svg_picture(file ? kWidth + 24 : kWidth, height, chart.title, body, use);
}

std::string legend_sign_svg(int style, bool reference) {
  std::string body = reference ? "<path class=\"ref\" d=\"M1 6H27\"/>"
                               : fmt::format("<path class=\"line{}\" d=\"M1 6H27\"/>", dash_class(style)) +
                                     svg_marker(style, 14, 6, "");
  return fmt::format(
      "<svg class=\"plot sign s{}\" viewBox=\"0 0 28 12\" width=\"28\" height=\"12\" aria-hidden=\"true\">{}</svg>",
      style % kStyles, body);
}

}  // namespace steno::report
