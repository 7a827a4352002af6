#include "report/tables.h"

#include <algorithm>

#include "report/browser.h"
#include "report/text.h"

namespace steno::report {
namespace {

// A number with its interval. The exact values are in the attributes, for scripts and for sorting.
std::string value_html(const Metric& metric) {
  std::string html = fmt::format("<span class=\"v\">{}</span>", show_number(metric.mean));
  if (metric.low && metric.high)
    html += fmt::format(" <span class=\"ci\">[{}, {}]</span>", show_number(metric.low), show_number(metric.high));
  return html;
}

std::string metric_cell(const Metric* metric) {
  if (!metric) return "<td class=\"num\" data-v=\"\">–</td>";
  return fmt::format("<td class=\"num\" data-v=\"{}\" data-low=\"{}\" data-high=\"{}\" data-n=\"{}\">{}</td>",
                     exact_number(metric->mean), exact_number(metric->low), exact_number(metric->high), metric->n,
                     value_html(*metric));
}

std::string number_cell(std::optional<double> value, const std::string& shown) {
  return fmt::format("<td class=\"num\" data-v=\"{}\">{}</td>", exact_number(value), shown);
}

const Metric* find(const Arm& arm, const std::string& name) {
  const auto found = arm.metrics.find(name);
  return found == arm.metrics.end() ? nullptr : &found->second;
}

std::string arm_name(const Arm& arm, const Styles& styles) {
  std::string html = legend_sign_svg(styles.of(arm), !arm.control.empty() || !arm.budget) + " " + escape(arm.id);
  if (!arm.control.empty() && arm.control != arm.id)
    html += fmt::format(" <span class=\"tag\">{}</span>", escape(arm.control));
  if (arm.query_aware) html += " <span class=\"tag\">query-aware</span>";
  return html;
}

std::string heads(const std::vector<std::pair<std::string, bool>>& names) {
  std::string html = "<thead><tr>";
  for (const auto& [name, numeric] : names)
    html += fmt::format("<th scope=\"col\"{}>{}</th>", numeric ? " class=\"num\"" : "", escape(name));
  return html + "</tr></thead>\n";
}

std::string wrapped(const std::string& label, const std::string& classes, const std::string& content) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table "
      "class=\"{}\">\n{}</table>\n</div>\n",
      escape(label), classes, content);
}

std::string json_text(const Json& json) { return json.is_string() ? json.get<std::string>() : json.dump(); }

}  // namespace

std::string run_anchor(size_t index) { return fmt::format("run-{}", index + 1); }

std::string run_name(const std::vector<Run>& runs, size_t index) {
  const Run& run = runs[index];
  if (std::ranges::count(runs, run.task, &Run::task) == 1) return run.task;
  std::filesystem::path folder = run.folder;
  if (!folder.has_filename()) folder = folder.parent_path();
  const std::string name = folder.filename().string();
  const bool same = std::ranges::count_if(runs, [&](const Run& other) {
                      std::filesystem::path path = other.folder;
                      if (!path.has_filename()) path = path.parent_path();
                      return other.task == run.task && path.filename() == folder.filename();
                    }) > 1;
  return fmt::format("{} ({})", run.task, same ? run.folder.string() : name);
}

std::string overview_matrix(const std::vector<Run>& runs, const Styles& styles) {
  std::vector<const Arm*> arms;  // each id once, in the order of appearance
  for (const Run& run : runs)
    for (const Arm& arm : run.arms)
      if (std::ranges::none_of(arms, [&](const Arm* other) { return other->id == arm.id; })) arms.push_back(&arm);
  std::string head = "<thead><tr><th scope=\"col\">arm</th>";
  for (size_t i = 0; i < runs.size(); ++i)
    head +=
        fmt::format("<th scope=\"col\" class=\"num\"><a href=\"#{}\">{}</a><small>{}{}</small></th>", run_anchor(i),
                    escape(run_name(runs, i)), escape(headline_of(runs[i])), runs[i].finished ? "" : ", unfinished");
  std::string body = "</tr></thead>\n<tbody>\n";
  for (const Arm* row : arms) {
    body += "<tr><th scope=\"row\">" + arm_name(*row, styles) + "</th>";
    for (const Run& run : runs) {
      const auto arm = std::ranges::find(run.arms, row->id, &Arm::id);
      body += metric_cell(arm == run.arms.end() ? nullptr : find(*arm, headline_of(run)));
    }
    body += "</tr>\n";
  }
  return wrapped("Headline metric of every arm in every task", "sortable matrix", head + body + "</tbody>\n");
}

std::string overview_list(const std::vector<Run>& runs, const Styles& styles) {
  std::string html = heads({{"arm", false},
                            {"headline [95 % interval]", true},
                            {"n", true},
                            {"skipped", true},
                            {"slots", true},
                            {"memory", true},
                            {"read, tokens/s", true},
                            {"decode, tokens/s", true}});
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    html += fmt::format(
        "<tbody><tr class=\"group\"><th scope=\"rowgroup\" colspan=\"8\"><a href=\"#{}\">{}</a> · {} · "
        "{}{}</th></tr>\n",
        run_anchor(i), escape(run_name(runs, i)), escape(headline_of(run)), escape(run.model),
        run.finished ? "" : " · unfinished");
    for (const Arm& arm : run.arms) {
      html += "<tr><th scope=\"row\">" + arm_name(arm, styles) + "</th>" + metric_cell(find(arm, headline_of(run)));
      html += number_cell(static_cast<double>(arm.n), show_count(arm.n)) +
              number_cell(static_cast<double>(arm.skipped), show_count(arm.skipped));
      html += number_cell(arm.slots, show_number(arm.slots)) + number_cell(arm.bytes, show_bytes(arm.bytes));
      html += number_cell(arm.read_tokens_per_s, show_number(arm.read_tokens_per_s)) +
              number_cell(arm.decode_tokens_per_s, show_number(arm.decode_tokens_per_s)) + "</tr>\n";
    }
    html += "</tbody>\n";
  }
  return wrapped("All tasks and arms", "sortable", html);
}

std::string metrics_table(const Run& run, const Styles& styles) {
  const std::vector<std::string> names = metric_names(run);
  std::string head = "<thead><tr><th scope=\"col\">arm</th><th scope=\"col\" class=\"num\">n</th>";
  for (const std::string& name : names) {
    const char* direction = "";
    std::string intervals;
    for (const Arm& arm : run.arms)
      if (const Metric* metric = find(arm, name)) {
        direction = metric->higher_is_better ? "higher is better" : "lower is better";
        if (intervals.empty() && metric->interval != "none") intervals = ", " + metric->interval;
      }
    head += fmt::format("<th scope=\"col\" class=\"num\">{}<small>{}{}</small></th>", escape(name), direction,
                        escape(intervals));
  }
  std::string body = "</tr></thead>\n<tbody>\n";
  for (const Arm& arm : run.arms) {
    body += "<tr><th scope=\"row\">" + arm_name(arm, styles) + "</th>" +
            number_cell(static_cast<double>(arm.n), show_count(arm.n));
    for (const std::string& name : names) body += metric_cell(find(arm, name));
    body += "</tr>\n";
  }
  return wrapped("All metrics by arm", "sortable", head + body + "</tbody>\n");
}

std::string arms_table(const Run& run) {
  std::string html = heads({{"arm", false},
                            {"method", false},
                            {"budget", true},
                            {"parameters", false},
                            {"positions", false},
                            {"reading", false},
                            {"sees the question", false}});
  html += "<tbody>\n";
  for (const Arm& arm : run.arms) {
    html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td>", escape(arm.id), escape(arm.method));
    html += arm.budget ? number_cell(static_cast<double>(*arm.budget), show_count(*arm.budget)) : number_cell({}, "–");
    for (const std::string& text : {arm.params, arm.positions, arm.reading})
      html += fmt::format("<td>{}</td>", text.empty() ? "–" : escape(text));
    html += fmt::format("<td>{}</td></tr>\n", arm.query_aware ? "while reading" : "after reading");
  }
  return wrapped("Arms and how they read", "sortable", html + "</tbody>\n");
}

std::string needle_table(const Run& run) {
  struct Counts {
    int64_t kept_right = 0, kept_wrong = 0, lost_right = 0, lost_wrong = 0;
    double share = 0;
    int64_t n() const { return kept_right + kept_wrong + lost_right + lost_wrong; }
  };
  std::vector<Counts> counts(run.arms.size());
  const std::string score = item_score(run);
  bool any = false;
  for (const Item& item : run.items) {
    const auto value = item.scores.find(score);
    if (item.needles.empty() || !item.kept_known || value == item.scores.end()) continue;
    const double share = covered(item.needles, item.kept);
    const bool kept = share >= 1, right = value->second >= 1;
    Counts& arm = counts[item.arm];
    ++(kept ? right ? arm.kept_right : arm.kept_wrong : right ? arm.lost_right : arm.lost_wrong);
    arm.share += item.needle_kept.value_or(share);
    any = true;
  }
  if (!any) return "";
  std::string html = heads({{"arm", false},
                            {"items", true},
                            {"share of the needle kept, mean of layers and heads", true},
                            {"kept somewhere, right", true},
                            {"kept somewhere, wrong", true},
                            {"lost, right", true},
                            {"lost, wrong", true}});
  html += "<tbody>\n";
  for (size_t i = 0; i < run.arms.size(); ++i) {
    const Counts& arm = counts[i];
    if (arm.n() == 0) continue;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", escape(run.arms[i].id));
    html += number_cell(static_cast<double>(arm.n()), show_count(arm.n()));
    const double share = arm.share / static_cast<double>(arm.n());
    html += number_cell(share, show_number(share));
    for (const int64_t count : {arm.kept_right, arm.kept_wrong, arm.lost_right, arm.lost_wrong})
      html += number_cell(static_cast<double>(count), show_count(count));
    html += "</tr>\n";
  }
  return wrapped("Needle kept and answer right", "sortable", html + "</tbody>\n");
}

std::string facts(const Run& run) {
  std::string html = "<dl class=\"facts\">\n";
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty() && value != "null") html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
  };
  const auto hash = [](const std::string& text) {
    return text.empty() ? "" : fmt::format(" <code title=\"{0}\">{1}</code>", escape(text), escape(text.substr(0, 16)));
  };
  add("Model", escape(run.model) + hash(run.model_hash));
  add("Tokenizer", hash(run.tokenizer_hash));
  std::string data;
  for (const Json& entry : run.data) {
    if (!entry.is_object()) continue;
    if (!data.empty()) data += "<br>";
    data += escape(entry.contains("name") ? json_text(entry["name"]) : "unnamed") +
            hash(entry.contains("hash") && entry["hash"].is_string() ? entry["hash"].get<std::string>() : "");
    if (entry.contains("records")) data += fmt::format(", {} records", escape(entry["records"].dump()));
    if (entry.contains("skipped") && entry["skipped"] != 0)
      data += fmt::format(", {} skipped", escape(entry["skipped"].dump()));
  }
  add("Data", data);
  add("Seed", escape(json_text(run.seed)));
  add("Limit", run.limit == 0 ? "none" : escape(json_text(run.limit)));
  add("Numbers", escape(run.dtype));
  add("Threads", escape(json_text(run.threads)));
  add("Made", escape(run.created) + (run.steno.empty() ? "" : " by steno " + escape(run.steno)));
  add("Folder", "<code>" + escape(run.folder.string()) + "</code>");
  html += "</dl>\n";
  if (run.settings.is_object() && !run.settings.empty()) {
    html += "<details><summary>Settings of the task</summary>\n<dl class=\"facts\">\n";
    for (const auto& [name, value] : run.settings.items()) add(escape(name).c_str(), escape(json_text(value)));
    html += "</dl></details>\n";
  }
  return html;
}

}  // namespace steno::report
