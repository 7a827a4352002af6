#include "cli/memory_source.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "cli/documents.h"
#include "cli/text.h"

namespace steno {
namespace {

// What a tokenizer puts in front of a whole text is put there by the frame of the prompt.
std::vector<TokenId> without_bos(std::vector<TokenId> tokens, const Tokenizer& tokenizer) {
  if (!tokens.empty() && tokenizer.bos() && tokens.front() == *tokenizer.bos()) tokens.erase(tokens.begin());
  return tokens;
}

void refuse(const std::string& owner, const CLI::App& app, std::initializer_list<const char*> flags, const char* why) {
  for (const char* flag : flags)
    if (const CLI::Option* option = app.get_option_no_throw(flag); option && option->count() > 0)
      throw UsageError("[{}] {} {}", owner, flag, why);
}

}  // namespace

void add_memory_flags(CLI::App& app, MemoryFlags& flags) {
  constexpr const char* kGroup = "Memory files";
  app.add_option("--set", flags.set, "a parameter of the memories' method, as key=value (adapter=DIR); may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false);
  app.add_option("--choose", flags.choose,
                 "which spans are read where not all fit: auto, bm25 (of the kept text), attention or order")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--room", flags.room, "positions that spans may take; 0: all that the reader's window leaves")
      ->group(kGroup)
      ->capture_default_str();
}

MemoryReading memory_reading(const std::string& owner, const MemoryFlags& flags) {
  if (flags.room < 0) throw UsageError("[{}] --room is a number of positions, not {}", owner, flags.room);
  return {choice_rule_named(owner, flags.choose), flags.room, parse_settings(owner, flags.set)};
}

void refuse_memory_flags(const std::string& owner, const CLI::App& app) {
  refuse(owner, app, {"--set", "--choose", "--room"}, "is for memory files, and none is named");
}

void refuse_stream_flags(const std::string& owner, const CLI::App& app) {
  refuse(owner, app, {"--method", "--budget", "--chunk", "--param"},
         "is for texts; a memory file is read by the method that wrote it");
}

OpenCompressor open_compressor_of(const std::string& owner, const MemoryFile& file, const Model& model,
                                  const FieldValues& set) {
  const MemoryHeader& stored = file.header();
  const auto& known = methods();
  const auto found =
      std::find_if(known.begin(), known.end(), [&](const Method* m) { return m->name() == stored.method; });
  if (found == known.end())
    throw InputError("[{}] {}: written by the method '{}', which this steno does not know", owner, file.path().string(),
                     stored.method);
  FieldValues params = stored.params;
  for (const auto& [name, value] : set) params[name] = value;
  const auto adapter = params.find("adapter");
  if (adapter != params.end() && !std::filesystem::exists(adapter->second))
    throw InputError("[{}] {}: its adapter {} is not there{}", owner, file.path().string(), adapter->second,
                     set.contains("adapter") ? "" : "; name it with --set adapter=DIR");
  const Method& method = **found;
  auto compressor = method.open_compressor(model, params);
  if (!compressor)
    throw InputError("[{}] {}: the method {} keeps no memories in files", owner, file.path().string(), method.name());
  MemoryHeader header = memory_header(model, method.name(), method.version(), params, *compressor);
  return {std::move(compressor), std::move(header)};
}

std::vector<Passage> passages_of(std::shared_ptr<const MemoryFile> file, const Tokenizer& tokenizer) {
  std::vector<Passage> passages;
  for (size_t i = 0; i < file->spans().size(); ++i) {
    const SpanInfo& info = file->spans()[i];
    Passage passage;
    passage.source = fmt::format("{} span {}", file->path().filename().string(), i);
    passage.source_tokens = info.tokens();
    if (info.has_text) passage.tokens = without_bos(file->tokens(i), tokenizer);
    if (info.kind == SpanKind::slots) {
      passage.slots = info.slots;
      passage.load = [file, i] { return file->slots(i); };
    }
    // A raw span of BOS alone says nothing.
    if (passage.positions() > 0) passages.push_back(std::move(passage));
  }
  return passages;
}

std::vector<Passage> passages_of_text(const std::string& name, const std::string& text, const Tokenizer& tokenizer,
                                      int64_t span_tokens) {
  std::vector<Passage> passages;
  int64_t first = 0;
  for (auto& span : cut_fixed(tokenizer.encode(text, {.add_special = false, .parse_special = false}), span_tokens)) {
    const auto tokens = static_cast<int64_t>(span.size());
    Passage passage;
    passage.source = fmt::format("{} tokens {}..{}", name, first, first + tokens - 1);
    passage.source_tokens = tokens;
    passage.tokens = std::move(span);
    first += tokens;
    passages.push_back(std::move(passage));
  }
  return passages;
}

bool MemoryNames::any() const { return std::find(is_memory.begin(), is_memory.end(), true) != is_memory.end(); }

MemoryNames look_for_memories(const std::string& owner, const std::vector<std::string>& names) {
  MemoryNames found;
  found.names = expand_names(owner, names);
  for (const std::string& name : found.names) {
    if (name != "-" && !std::filesystem::exists(name)) throw InputError("[{}] {}: no such file", owner, name);
    // A pipe has no beginning that could be looked at twice.
    const bool memory = name != "-" && std::filesystem::is_regular_file(name) && MemoryFile::is_memory_file(name);
    if (!memory && std::filesystem::is_regular_file(name) && std::filesystem::path(name).extension() == ".memory")
      throw InputError("[{}] {}: is no memory file, though it is called so", owner, name);
    found.is_memory.push_back(memory);
  }
  return found;
}

MemorySource open_memories(const std::string& owner, const MemoryNames& names, const Model& model,
                           const FieldValues& set) {
  std::vector<std::shared_ptr<const MemoryFile>> files(names.names.size());
  OpenCompressor open;
  for (size_t i = 0; i < names.names.size(); ++i) {
    if (!names.is_memory[i]) continue;
    files[i] = MemoryFile::open(names.names[i]);
    if (!open.compressor) open = open_compressor_of(owner, *files[i], model, set);
    files[i]->check_identity(open.header);
  }
  for (auto name = names.names.begin(); name != names.names.end(); ++name)
    if (std::find(names.names.begin(), name, *name) != name)
      spdlog::warn("{}: is named twice, and is read twice", *name);
  MemorySource source;
  source.method = open.header.method;
  source.compressor = open.compressor;
  source.files = names.names;
  for (size_t i = 0; i < names.names.size(); ++i) {
    const std::string& name = names.names[i];
    (files[i] ? source.memories : source.texts) += 1;
    auto more = files[i] ? passages_of(files[i], *model.tokenizer)
                         : passages_of_text(name == "-" ? "standard input" : name, read_text(owner, name),
                                            *model.tokenizer, open.compressor->span_tokens());
    std::move(more.begin(), more.end(), std::back_inserter(source.passages));
  }
  if (source.passages.empty())
    throw InputError("[{}] {}: holds no span; there is nothing to read", owner, names.names[0]);
  return source;
}

FieldValues parse_settings(const std::string& owner, const std::vector<std::string>& settings) {
  FieldValues values;
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError("[{}] --set '{}' is not of the form key=value", owner, setting);
    if (!values.emplace(setting.substr(0, equals), setting.substr(equals + 1)).second)
      throw UsageError("[{}] --set {} is given twice", owner, setting.substr(0, equals));
  }
  return values;
}

}  // namespace steno
