#include "cli/config_file.h"

#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "base/error.h"
#include "cli/documents.h"
#include "cli/text.h"

namespace steno {
namespace {

std::string scalar_text(const toml::node& node, const std::string& where) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto truth = node.value_exact<bool>()) return *truth ? "true" : "false";
  if (const auto whole = node.value_exact<int64_t>()) return std::to_string(*whole);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  throw UsageError("{}: must be a text, a number or true/false", where);
}

// An array is a flag given several times; a table is a flag given as key=value several times.
std::vector<std::string> value_texts(const toml::node& node, const std::string& where) {
  std::vector<std::string> texts;
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& element : *array) texts.push_back(scalar_text(element, where));
  } else if (const toml::table* table = node.as_table()) {
    for (const auto& [key, value] : *table)
      texts.push_back(fmt::format("{}={}", std::string_view(key), scalar_text(value, where)));
  } else {
    texts.push_back(scalar_text(node, where));
  }
  return texts;
}

std::vector<std::string> flag_names(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& name : option->get_lnames())
      if (name != "help" && name != "config") names.push_back(name);
  return names;
}

CLI::App* find_verb(CLI::App& root, const std::string& name) {
  for (CLI::App* verb : root.get_subcommands([](CLI::App*) { return true; }))
    if (verb->get_name() == name) return verb;
  return nullptr;
}

// With `set` false the table is only checked.
void apply_table(const toml::table& table, const std::string& file, CLI::App& root, CLI::App& verb, bool set,
                 bool top_level) {
  for (const auto& [key, node] : table) {
    const std::string name(std::string_view{key});
    if (top_level && find_verb(root, name) != nullptr && node.is_table()) continue;
    const std::string where = fmt::format("[config] {}:{}: '{}'", file, node.source().begin.line, name);
    const std::vector<std::string> known = flag_names(verb);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      const std::string near = nearest(name, known);
      throw UsageError("{} is an unknown key: steno {} has no flag --{}{}", where, verb.get_name(), name,
                       near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
    }
    CLI::Option* option = verb.get_option("--" + name);
    std::vector<std::string> texts = value_texts(node, where);
    if (node.is_table() && name != "param" && name != "set") throw UsageError("{}: must not be a table", where);
    if (node.is_table()) {
      // Key by key: --set lr=1 on the command line leaves the file's other settings as they are.
      const std::vector<std::string> given = option->results();
      std::erase_if(texts, [&](const std::string& text) {
        const std::string key = text.substr(0, text.find('=') + 1);
        return std::any_of(given.begin(), given.end(), [&](const std::string& g) { return g.starts_with(key); });
      });
    } else if (option->count() > 0) {
      continue;
    }
    if (!set || texts.empty()) continue;
    if (option->get_items_expected_max() == 0 && !node.is_boolean())
      throw UsageError("{}: must be true or false", where);
    try {
      option->add_result(texts);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      throw UsageError("{}: {}", where, error.what());
    }
  }
}

}  // namespace

void apply_config_file(const std::string& path, CLI::App& root, CLI::App& verb) {
  toml::table table;
  try {
    table = toml::parse(read_bytes("config", path), path);
  } catch (const toml::parse_error& error) {
    throw InputError("[config] {}:{}: {}", path, error.source().begin.line, error.description());
  }
  apply_table(table, path, root, verb, true, true);
  for (const auto& [key, node] : table) {
    CLI::App* const named = find_verb(root, std::string(std::string_view{key}));
    if (named && node.is_table()) apply_table(*node.as_table(), path, root, *named, named == &verb, false);
  }
}

}  // namespace steno
