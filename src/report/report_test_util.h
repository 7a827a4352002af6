// Result folders for the tests of this layer.
#pragma once
#include <filesystem>
#include <string>

#include "base/files_test_util.h"
#include "report/result.h"

namespace steno::report {

inline Json sample_run() {
  return {{"format", "steno.eval"},
          {"format_version", 1},
          {"steno", "0.0.0"},
          {"task", "passkey"},
          {"model", {{"name", "invented"}, {"hash", "abcd"}}},
          {"seed", 7},
          {"arms",
           {{{"id", "window-256"}, {"method", "window"}, {"budget", 256}, {"control", nullptr}},
            {{"id", "window-512"}, {"method", "window"}, {"budget", 512}, {"control", nullptr}},
            {{"id", "full-context"}, {"method", "dense"}, {"budget", nullptr}, {"control", "full-context"}}}}};
}

inline Json sample_item(const std::string& arm, int length, int depth, double correct) {
  const std::string name = "length=" + std::to_string(length) + "/depth=" + std::to_string(depth);
  return {{"arm", arm},
          {"item", name},
          {"cell", {{"length", length}, {"depth", depth}}},
          {"scores", {{"correct", correct}}},
          {"prediction", "42"},
          {"references", {"42"}},
          {"context_tokens", length},
          {"kept", {{length - 256, length - 1}}},
          {"needle", {10, 19}},
          {"accounting", {{"memory_bytes", 1024}, {"slots", 256}}},
          {"time", {{"read_s", 1.5}, {"decode_s", 0.5}}}};
}

inline Json sample_summary(const std::vector<Item>& items, const std::vector<Arm>& arms) {
  Json summary = {
      {"format", "steno.eval.summary"}, {"format_version", 1}, {"headline", "correct"}, {"arms", Json::array()}};
  for (size_t i = 0; i < arms.size(); ++i) {
    double sum = 0;
    int64_t n = 0;
    Json cells = Json::array();
    for (const Item& item : items) {
      if (item.arm != i) continue;
      sum += item.scores.at("correct"), ++n;
      const Json metric = {
          {"mean", item.scores.at("correct")}, {"low", 0.0}, {"high", 1.0}, {"n", 1}, {"interval", "wilson"},
          {"higher_is_better", true}};
      cells.push_back(
          {{"cell", {{"length", std::stoi(item.cell.at("length"))}, {"depth", std::stoi(item.cell.at("depth"))}}},
           {"n", 1},
           {"metrics", {{"correct", metric}}}});
    }
    const double mean = n ? sum / static_cast<double>(n) : 0;
    summary["arms"].push_back({{"id", arms[i].id},
                               {"n", n},
                               {"skipped", 0},
                               {"cells", cells},
                               {"bytes", 1000.0 * (static_cast<double>(i) + 1)},
                               {"slots", 256.5},
                               {"read_tokens_per_s", 2345.678},
                               {"decode_tokens_per_s", 98.7},
                               {"metrics",
                                {{"correct",
                                  {{"mean", mean},
                                   {"low", mean / 2},
                                   {"high", (1 + mean) / 2},
                                   {"n", n},
                                   {"interval", "wilson"},
                                   {"higher_is_better", true}}}}}});
  }
  return summary;
}

// Two lengths, two depths, three arms; with or without a summary.
inline void write_sample(const test::TemporaryFolder& folder, bool finished = true) {
  folder.file("run.json", sample_run().dump());
  std::string lines;
  int i = 0;
  for (const char* arm : {"window-256", "window-512", "full-context"})
    for (const int length : {1024, 2048})
      for (const int depth : {0, 100}) lines += sample_item(arm, length, depth, ++i % 3 ? 1 : 0).dump() + "\n";
  folder.file("items.jsonl", lines);
  std::filesystem::remove(folder.path() / "summary.json");
  if (!finished) return;
  const Run run = read_run(folder.path());
  folder.file("summary.json", sample_summary(run.items, run.arms).dump());
}

}  // namespace steno::report
