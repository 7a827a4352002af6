// Figures with their 95 % intervals, as summaries show them.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/json.h"
#include "metrics/intervals.h"

namespace steno {

enum class IntervalKind { none, wilson, bootstrap };

struct Metric {
  double mean = 0, low = 0, high = 0;  // low = high = mean without an interval
  int64_t n = 0;                       // items (or clusters, such as dialogues) it is over
  IntervalKind interval = IntervalKind::none;
  bool higher_is_better = true;
};
using Metrics = std::map<std::string, Metric>;

// Lines of items.jsonl, of one arm, in the order of the items.
using Lines = std::vector<const Json*>;

// Mean of one number per item: Wilson's interval when all are 0 or 1, else a bootstrap over items. `values` not empty.
Metric mean_metric(const std::vector<double>& values, bool higher_is_better = true);
// Value i belongs to group_of[i]; where two share a group, a bootstrap over groups.
Metric mean_metric(const std::vector<double>& values, const std::vector<size_t>& group_of,
                   bool higher_is_better = true);

// A figure of a whole set that is no mean (micro perplexity, corpus BLEU): `statistic` of the groups (items, dialogues)
// whose numbers, 0 .. groups-1, it is given. `groups` >= 1.
Metric corpus_metric(size_t groups, const Statistic& statistic, bool higher_is_better = true);

// One metric for every key of "scores" in the lines, over the lines that have it. Lines that share a "cluster" (a
// dialogue, a context) are drawn together in a bootstrap. `lower_is_better`: names for which less is more.
Metrics score_metrics(const Lines& lines, const std::vector<std::string>& lower_is_better = {});

// Group numbers of the lines, by "cluster", or by "item" where a line names none.
std::vector<size_t> line_clusters(const Lines& lines);

Json metric_json(const Metrics& metrics);

}  // namespace steno
