// steno report: one page, and pictures, of result directories of `steno eval`.
#include "report/report.h"

#include "base/error.h"
#include "cli/verb.h"
#include "io/atomic_file.h"

namespace steno {
namespace {

class ReportVerb : public Verb {
 public:
  explicit ReportVerb(CLI::App& root)
      : Verb(root, "report", "Make a page with tables and plots of evaluation results") {
    app_->add_option("results", folders_, "result folders of 'steno eval'");
    app_->add_option("-o,--out", out_, "the HTML page to write (report.html)");
    app_->add_option("--svg", svg_, "folder for the plots as SVG files");
    app_->add_option("--text-limit", options_.text_limit,
                     "longest text of an item on the page, in characters; 0: "
                     "whole texts (4000)");
  }

  void run(StandardOutput& out) override {
    if (folders_.empty()) throw UsageError("[report] name at least one result folder of 'steno eval'");
    if (options_.text_limit < 0)
      throw UsageError("[report] --text-limit must not be negative, not {}", options_.text_limit);
    if (out_.empty()) throw UsageError("[report] --out must not be empty");
    std::vector<report::Run> runs;
    for (const std::string& folder : folders_) runs.push_back(report::read_run(folder));
    const report::Report page = report::make_report(runs, options_);
    // The page comes last, so that a page that is there has its pictures.
    if (!svg_.empty()) write_pictures(page);
    write(out_, page.html);

    if (common_.json) {
      Json pictures = Json::array();
      if (!svg_.empty())
        for (const auto& picture : page.pictures)
          pictures.push_back((std::filesystem::path(svg_) / picture.name).string());
      out.write_json(Json{{"page", out_},
                          {"bytes", page.html.size()},
                          {"runs", runs.size()},
                          {"items", page.items},
                          {"shortened_texts", page.shortened_texts},
                          {"pictures", std::move(pictures)}});
    } else if (!common_.quiet) {
      std::string line = fmt::format("{}: {} runs, {} items", out_, runs.size(), page.items);
      if (page.shortened_texts) line += fmt::format(", {} texts shortened (--text-limit)", page.shortened_texts);
      if (!svg_.empty()) line += fmt::format("; {} plots in {}", page.pictures.size(), svg_);
      fmt::print(stderr, "{}\n", line);
    }
  }

 private:
  static void write(const std::filesystem::path& path, const std::string& text) {
    AtomicFile file(path);
    file.reserve(text.size());
    file.write(text);
    file.commit();
  }

  void write_pictures(const report::Report& page) const {
    std::error_code error;
    std::filesystem::create_directories(svg_, error);
    if (error) throw InputError("[report] {}: the folder cannot be made: {}", svg_, error.message());
    for (const auto& picture : page.pictures) write(std::filesystem::path(svg_) / picture.name, picture.svg);
  }

  std::vector<std::string> folders_;
  std::string out_ = "report.html", svg_;
  report::ReportOptions options_;
};

}  // namespace

std::unique_ptr<Verb> make_report_verb(CLI::App& root) { return std::make_unique<ReportVerb>(root); }

}  // namespace steno
