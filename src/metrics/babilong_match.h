// Scoring of BABILong (booydar/babilong, metrics.py): the labels of a task that an output names must be the target
// alone.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace steno {

// `labels`: the task's vocabulary, for example bathroom, bedroom, garden, hallway, kitchen, office for qa1 to qa4. Of
// the output counts what stands before the first period and before "<context>" and "<example>". Labels are found as
// substrings in any case; those that occur in the question do not count. A target of several labels joined by commas
// (qa8) wants all of them and no others; one of three characters or fewer ("s,e" of qa19) is a single label.
bool matches_babilong(std::string_view output, std::string_view question, std::string_view target,
                      std::span<const std::string> labels);

}  // namespace steno
