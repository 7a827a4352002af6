#include "cli/chat_command.h"

#include <fmt/core.h>

#include <array>
#include <vector>

#include "cli/text.h"

namespace steno {
namespace {

struct Command {
  const char* name;
  ChatLine::Kind kind;
  bool takes_file;
};

constexpr std::array<Command, 7> kCommands = {{{"/stats", ChatLine::Kind::stats, false},
                                               {"/save", ChatLine::Kind::save, true},
                                               {"/load", ChatLine::Kind::load, true},
                                               {"/reset", ChatLine::Kind::reset, false},
                                               {"/undo", ChatLine::Kind::undo, false},
                                               {"/help", ChatLine::Kind::help, false},
                                               {"/quit", ChatLine::Kind::quit, false}}};
constexpr std::string_view kSpace = " \t\r\n\v\f";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

}  // namespace

ChatLine parse_chat_line(std::string_view line) {
  line = trimmed(line);
  if (line.empty()) return {};
  if (line.starts_with("//")) return {ChatLine::Kind::text, std::string(line.substr(1))};
  if (!line.starts_with('/')) return {ChatLine::Kind::text, std::string(line)};
  const std::string_view name = line.substr(0, line.find_first_of(kSpace));
  const std::string_view argument = trimmed(line.substr(name.size()));
  std::vector<std::string> known;
  for (const Command& command : kCommands) {
    known.emplace_back(command.name);
    if (name != command.name) continue;
    if (command.takes_file && argument.empty())
      return {ChatLine::Kind::wrong, fmt::format("{} needs a file: {} FILE", name, name)};
    if (!command.takes_file && !argument.empty())
      return {ChatLine::Kind::wrong, fmt::format("{} takes nothing behind it ('{}')", name, argument)};
    return {command.kind, std::string(argument)};
  }
  const std::string near = nearest(name, known);
  return {ChatLine::Kind::wrong,
          fmt::format("unknown command {}{} (/help lists them; a turn that begins with a slash is written with two)",
                      name, near.empty() ? "" : "; did you mean " + near + "?")};
}

const char* chat_help() {
  return "/stats      what is kept, what the last turn cost, what /undo holds\n"
         "/save FILE  write memory and conversation to a file\n"
         "/load FILE  continue a saved conversation\n"
         "/undo       take the last turn back\n"
         "/reset      forget everything and begin anew\n"
         "/help       this list\n"
         "/quit       leave (Ctrl-D does too)\n"
         "Ctrl-C stops an answer. A turn of several lines stands between two lines of \"\"\".\n";
}

}  // namespace steno
