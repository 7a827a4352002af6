#include "report/report.h"

#include <algorithm>
#include <map>
#include <set>

#include "report/browser.h"
#include "report/embedded.h"
#include "report/figures.h"
#include "report/tables.h"
#include "report/text.h"

namespace steno::report {
namespace {

// Replaces {{name}}; what is put in is not looked at again.
std::string fill(std::string_view page, const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  while (true) {
    const size_t open = page.find("{{"), close = page.find("}}", open);
    if (open == std::string_view::npos || close == std::string_view::npos) return out.append(page);
    out.append(page.substr(0, open)).append(values.at(std::string(page.substr(open + 2, close - open - 2))));
    page.remove_prefix(close + 2);
  }
}

std::string svg_of(const Figure& figure, Use use) {
  if (const auto* chart = std::get_if<Chart>(&figure.picture)) return chart_svg(*chart, use);
  return heat_map_svg(std::get<HeatMap>(figure.picture), use);
}

// The numbers of a figure as CSV text, to read, copy and, with the script, download.
std::string csv_block(const std::string& csv, const std::string& name) {
  return fmt::format(
      "<details class=\"csv\"><summary>Numbers</summary><pre tabindex=\"0\" data-file=\"{}.csv\">{}</pre></details>\n",
      escape(name), escape(csv));
}

std::string figure_html(const Figure& figure, const std::string& file) {
  const bool map = std::holds_alternative<HeatMap>(figure.picture);
  std::string html =
      fmt::format("<figure class=\"{}\">\n<figcaption>{}</figcaption>\n", map ? "map" : "chart", escape(figure.title));
  html += (map ? "<div class=\"scroll\">" : "<div>") + svg_of(figure, Use::in_page) + "</div>\n";
  html += "<output class=\"readout\" aria-live=\"polite\"></output>\n";
  if (!figure.note.empty()) html += "<p class=\"note\">" + escape(figure.note) + "</p>\n";
  return html + csv_block(figure.csv, file) + "</figure>\n";
}

std::string legend_html(const Run& run, const Styles& styles) {
  std::string html = "<div class=\"legend\" role=\"group\" aria-label=\"Series shown in the charts\">\n";
  std::set<int> done;
  for (const Arm& arm : run.arms) {
    const int style = styles.of(arm);
    if (!done.insert(style).second) continue;
    const bool reference = !arm.control.empty() || !arm.budget;
    html += fmt::format("<button type=\"button\" aria-pressed=\"true\" data-toggle=\"{}\">{} {}</button>\n", style,
                        legend_sign_svg(style, reference), escape(arm.series()));
  }
  return html + "</div>\n";
}

struct Group {
  const char *name, *title, *text;
};
constexpr Group kGroups[] = {
    {"quality", "Quality against cost",
     "Bars are 95 % intervals; points of one budget are drawn side by side so that their bars can be told apart. "
     "Dashed "
     "lines right across are arms without a budget: controls, and methods that keep everything."},
    {"position", "Along the text",
     "By position, utterance and session: the first of the bin. By tokens read: over all that was scored until then, "
     "the "
     "running perplexity."},
    {"cells", "Along the grid",
     "Where the grid has more than one dimension, a point is the mean over the others, each cell counting the same, "
     "and "
     "has no interval."},
    {"map", "Heat maps",
     "The colour is the mean score of the cell, the number in it the same; all maps of one metric share one scale."},
};

// Figures of other metrics than the headline are folded away, one fold per metric.
std::string group_html(const Group& group, const std::vector<Figure>& figures, const std::vector<std::string>& files,
                       const std::string& headline) {
  std::vector<std::pair<std::string, std::string>> metrics;  // name -> figures
  for (size_t i = 0; i < figures.size(); ++i) {
    if (figures[i].group != group.name) continue;
    auto found = std::ranges::find(metrics, figures[i].metric, &std::pair<std::string, std::string>::first);
    if (found == metrics.end()) found = metrics.insert(metrics.end(), {figures[i].metric, ""});
    found->second += figure_html(figures[i], files[i]);
  }
  if (metrics.empty()) return "";
  std::string html = fmt::format("<h3>{}</h3>\n", group.title);
  if (*group.text) html += fmt::format("<p class=\"note\">{}</p>\n", group.text);
  for (const auto& [metric, content] : metrics) {
    const std::string grid = "<div class=\"figures\">\n" + content + "</div>\n";
    const bool folded = metrics.size() > 1 && metric != headline && metric != metrics.front().first;
    html += folded ? fmt::format("<details class=\"more\"><summary>{}</summary>\n{}</details>\n", escape(metric), grid)
                   : grid;
  }
  return html;
}

std::string notes_html(const std::vector<std::string>& notes) {
  std::string html;
  for (const std::string& note : notes) html += "<p class=\"notice\">" + escape(note) + "</p>\n";
  return html;
}

std::string browser_html(const BrowserData& data, const Run& run, size_t index, int64_t text_limit) {
  if (run.items.empty()) return "";
  std::string html = fmt::format(
      "<h3>Items</h3>\n<details class=\"browser\" data-source=\"items-{}\"><summary>Browse {} items: questions, "
      "answers, and what "
      "was kept</summary>\n<noscript><p>Browsing needs JavaScript.</p></noscript>\n",
      index + 1, show_count(static_cast<int64_t>(run.items.size())));
  if (data.shortened)
    html += fmt::format(
        "<p class=\"notice\">{} of {} texts are longer than {} characters and are shown without their middle; "
        "items.jsonl has them whole.</p>\n",
        show_count(data.shortened), show_count(data.texts), show_count(text_limit));
  if (data.binned)
    html += fmt::format(
        "<p class=\"note\">For {} items the kept positions lie in too many ranges to list; their strips show the share "
        "kept of each of 200 equal parts of the context.</p>\n",
        show_count(data.binned));
  return html + "<div class=\"items\"></div></details>\n";
}

std::vector<std::string> mixed(const std::vector<Run>& runs) {
  std::map<std::string, std::string> models;  // hash or name -> what to show
  for (const Run& run : runs)
    models.emplace(run.model_hash.empty() ? run.model : run.model_hash,
                   run.model + (run.model_hash.empty() ? "" : " (" + run.model_hash.substr(0, 8) + ")"));
  if (models.size() < 2) return {};
  std::string list;
  for (const auto& [key, name] : models) list += (list.empty() ? "" : ", ") + name;
  return {fmt::format("The runs are of {} different models: {}. Do not compare their numbers as if they were of one.",
                      models.size(), list)};
}

std::string file_name(const std::vector<Run>& runs, size_t run, const Figure& figure, std::set<std::string>& used) {
  std::string name = slug(run_name(runs, run)) + "-";
  name += slug(figure.group == "map" ? figure.metric + "-map-" + figure.title : figure.title);
  std::string unique = name;
  for (int i = 2; !used.insert(unique).second; ++i) unique = fmt::format("{}-{}", name, i);
  return unique;
}

}  // namespace

Report make_report(const std::vector<Run>& runs, const ReportOptions& options) {
  Report report;
  const Styles styles(runs);
  std::set<std::string> used, tasks, models;
  std::string sections, data, nav;
  size_t rows = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    const std::vector<Figure> figures = make_figures(run, styles);
    std::vector<std::string> files;
    for (const Figure& figure : figures) {
      files.push_back(file_name(runs, i, figure, used));
      report.pictures.push_back({files.back() + ".svg", svg_of(figure, Use::file)});
    }
    const BrowserData browser = browser_data(run, options.text_limit);
    report.items += static_cast<int64_t>(run.items.size());
    report.shortened_texts += browser.shortened;
    tasks.insert(run.task), models.insert(run.model);
    rows += run.arms.size();

    const std::string name = escape(run_name(runs, i));
    nav += fmt::format("<a href=\"#{}\">{}</a>\n", run_anchor(i), name);
    sections += fmt::format("<section class=\"run\" id=\"{}\">\n<h2>{}</h2>\n", run_anchor(i), name);
    sections += notes_html(run.notes) + facts(run) + "<h3>Metrics</h3>\n" + metrics_table(run, styles);
    sections += "<details><summary>Arms and how they read</summary>\n" + arms_table(run) + "</details>\n";
    if (!figures.empty()) sections += legend_html(run, styles);
    for (const Group& group : kGroups) sections += group_html(group, figures, files, headline_of(run));
    if (const std::string table = needle_table(run); !table.empty())
      sections +=
          "<h3>Kept and answered</h3>\n<p class=\"note\">Kept: every position of what had to be found is still held "
          "by some layer or head when the answer begins.</p>\n" +
          table;
    sections += browser_html(browser, run, i, options.text_limit) + "</section>\n";
    if (!run.items.empty())
      data += fmt::format("<script type=\"application/json\" id=\"items-{}\">{}</script>\n", i + 1,
                          script_json(browser.json));
  }

  std::string overview = notes_html(mixed(runs));
  for (size_t i = 0; i < runs.size(); ++i)
    if (!runs[i].finished)
      overview += fmt::format("<p class=\"notice\">{} is not finished: {} items so far.</p>\n",
                              escape(run_name(runs, i)), show_count(static_cast<int64_t>(runs[i].items.size())));
  overview += overview_matrix(runs, styles);
  overview += fmt::format("<details{}><summary>Items, sizes and speeds</summary>\n{}</details>\n",
                          rows <= 60 ? " open" : "", overview_list(runs, styles));

  std::string lede =
      fmt::format("{} {}, {} items, ", runs.size(), runs.size() == 1 ? "run" : "runs", show_count(report.items));
  lede += models.size() == 1 ? "model " + *models.begin() : fmt::format("{} models", models.size());
  std::string title = "steno report:";
  for (const std::string& task : tasks) title += (task == *tasks.begin() ? " " : ", ") + task;
  report.html = fill(embedded::page_html(), {{"title", escape(title)},
                                             {"lede", escape(lede)},
                                             {"style", std::string(embedded::style_css())},
                                             {"plot", std::string(embedded::plot_css())},
                                             {"nav", nav},
                                             {"overview", overview},
                                             {"runs", sections},
                                             {"data", data},
                                             {"script", std::string(embedded::page_js())}});
  return report;
}

}  // namespace steno::report
