#include "cli/inspection.h"

#include <fmt/ranges.h>

#include <fstream>

#include "base/error.h"
#include "base/utf8.h"
#include "io/chat_format.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "io/tokenizer.h"
#include "memory/memory_file.h"

namespace steno {
namespace {

namespace fs = std::filesystem;
constexpr size_t kShownValue = 80;

std::string cut(std::string_view text) {
  std::string line(text.substr(0, kShownValue));
  line.resize(complete_utf8_prefix(line));
  for (char& c : line)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  return line.size() < text.size() ? line + fmt::format("... ({} bytes)", text.size()) : line;
}

std::string value_text(const GgufValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string_view>)
          return cut(v);
        else if constexpr (std::is_same_v<T, GgufArray>)
          return std::visit(
              [](const auto& array) {
                using Element = typename std::decay_t<decltype(array)>::value_type;
                constexpr const char* kind = std::is_same_v<Element, std::string_view> ? "texts"
                                             : std::is_same_v<Element, bool>           ? "booleans"
                                                                                       : "numbers";
                return fmt::format("[{} {}]", array.size(), kind);
              },
              v);
        else
          return fmt::format("{}", v);
      },
      value);
}

// What is wrong becomes a sentence instead of the end of the inspection.
template <class Action>
bool attempt(Inspection& inspection, const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    inspection.cannot.emplace_back(error.what());
    return false;
  }
}

void add_tokenizer(Inspection& inspection, const Tokenizer& tokenizer) {
  TokenizerInfo info;
  info.kind = tokenizer.kind();
  info.vocab = tokenizer.vocab_size();
  info.adds_bos = tokenizer.adds_bos();
  if (const auto id = tokenizer.bos()) info.bos = tokenizer.token(*id);
  if (const auto id = tokenizer.eos()) info.eos = tokenizer.token(*id);
  for (const TokenId id : tokenizer.end_of_generation()) info.end_of_generation.emplace_back(tokenizer.token(id));
  inspection.tokenizer = std::move(info);
  inspection.can.emplace_back("tokenize texts");
  if (tokenizer.chat_template().empty()) {
    inspection.cannot.emplace_back("it has no chat template; --chat-format names one, otherwise 'plain' is used");
    return;
  }
  attempt(inspection, [&] { inspection.chat_format = ChatFormat::detect(tokenizer.chat_template()).name(); });
}

void add_gguf(Inspection& inspection, const fs::path& path) {
  const auto file = GgufFile::open(path);
  inspection.kind = fmt::format("GGUF v{}", file->version());
  inspection.file_bytes = file->file_bytes();
  for (const auto& [key, value] : file->metadata()) inspection.metadata.emplace_back(key, value_text(value));
  for (const GgufTensor& tensor : file->tensors())
    inspection.tensors.push_back({std::string(tensor.name), ggml_type_name(static_cast<uint32_t>(tensor.type)),
                                  tensor.shape, static_cast<int64_t>(tensor.data.size()),
                                  ggml_traits(tensor.type).name != nullptr});
  const bool config = attempt(inspection, [&] { inspection.config = config_from_gguf(*file); });
  const bool tokenizer = attempt(inspection, [&] { add_tokenizer(inspection, *Tokenizer::from_gguf(*file)); });
  inspection.runs = config && tokenizer && !inspection.tensors.empty();
}

void add_safetensors(Inspection& inspection, const fs::path& path) {
  const auto file = SafetensorsFile::open(path);
  for (const auto& [key, value] : file->metadata()) inspection.metadata.emplace_back(key, cut(value));
  for (const SafetensorsEntry& entry : file->entries())
    inspection.tensors.push_back(
        {entry.name, c10::toString(entry.dtype), entry.shape, static_cast<int64_t>(entry.data.size()), true});
}

void add_folder(Inspection& inspection, const fs::path& folder) {
  inspection.kind = "Hugging Face folder";
  const fs::path index = folder / "model.safetensors.index.json";
  const fs::path weights = fs::exists(index) ? index : folder / "model.safetensors";
  bool anything = false;
  const auto part = [&](const fs::path& file, const auto& read) {
    if (!fs::exists(file)) {
      inspection.cannot.push_back(fmt::format("{} is missing", file.string()));
      return false;
    }
    anything = true;
    return attempt(inspection, read);
  };
  const bool config = part(folder / "config.json", [&] { inspection.config = config_from_hf(folder / "config.json"); });
  const bool tensors = part(weights, [&] { add_safetensors(inspection, weights); });
  const bool tokenizer =
      part(folder / "tokenizer.json", [&] { add_tokenizer(inspection, *Tokenizer::from_json(folder)); });
  if (!anything)
    throw InputError("[inspect] {}: holds none of config.json, model.safetensors and tokenizer.json", folder.string());
  for (const TensorInfo& tensor : inspection.tensors) inspection.file_bytes += tensor.bytes;
  inspection.runs = config && tensors && tokenizer;
}

// Read and checked as a whole; what is wrong with it ends the inspection, as nothing else can be said.
void add_memory(Inspection& inspection, const fs::path& path) {
  const auto file = MemoryFile::open(path);
  const MemoryHeader& header = file->header();
  inspection.kind = fmt::format("memory file, format {}", MemoryHeader::kFormatVersion);
  inspection.file_bytes = static_cast<int64_t>(fs::file_size(path));
  int64_t slots = 0, tokens = 0, raw = 0, with_text = 0;
  for (const SpanInfo& span : file->spans()) {
    slots += span.slots;
    tokens += span.tokens();
    raw += span.kind == SpanKind::raw;
    with_text += span.has_text;
  }
  const auto add = [&](const char* key, const std::string& value) { inspection.metadata.emplace_back(key, value); };
  add("method", fmt::format("{} {}", header.method, header.method_version));
  for (const auto& [key, name] : header.names) add(key.c_str(), name);
  add("spans", fmt::format("{}, {} of them as text, {} with their text", file->spans().size(), raw, with_text));
  add("slots", fmt::format("{} for {} tokens", slots, tokens));
  add("created", header.created);
  add("changed", header.changed);
  inspection.can = {"answer questions: steno ask FILE --question ..., steno chat --memory FILE",
                    "be written back as text: steno reconstruct FILE",
                    "be listed, checked and changed: steno memory list|show|verify|append|delete|merge|export"};
}

bool begins_with(const fs::path& path, std::string_view magic) {
  std::ifstream file(path, std::ios::binary);
  std::string head(magic.size(), '\0');
  return file.read(head.data(), static_cast<std::streamsize>(head.size())) && head == magic;
}

}  // namespace

std::vector<TensorGroup> group_layers(const std::vector<TensorInfo>& tensors) {
  struct Pending {
    std::string prefix, suffix;
    int64_t first_layer, last_layer;
    TensorGroup group;
  };
  std::vector<Pending> pending;
  for (const TensorInfo& tensor : tensors) {
    // The layer is the first number between two dots ("blk.7.attn_q", "model.layers.7.mlp").
    std::string prefix = tensor.name, suffix;
    int64_t layer = -1;
    for (size_t dot = tensor.name.find('.'); dot != std::string::npos; dot = tensor.name.find('.', dot + 1)) {
      const size_t end = tensor.name.find('.', dot + 1);
      if (end == std::string::npos || end == dot + 1 || end - dot > 9) continue;
      const std::string number = tensor.name.substr(dot + 1, end - dot - 1);
      if (number.find_first_not_of("0123456789") != std::string::npos) continue;
      prefix = tensor.name.substr(0, dot + 1);
      suffix = tensor.name.substr(end);
      layer = std::stoll(number);
      break;
    }
    const auto same = std::find_if(pending.begin(), pending.end(), [&](const Pending& p) {
      return layer >= 0 && p.last_layer >= 0 && p.last_layer + 1 == layer && p.prefix == prefix && p.suffix == suffix &&
             p.group.first->type == tensor.type && p.group.first->shape == tensor.shape;
    });
    if (same == pending.end()) {
      pending.push_back({prefix, suffix, layer, layer, {tensor.name, &tensor, 1, tensor.bytes}});
    } else {
      same->last_layer = layer;
      ++same->group.count;
      same->group.bytes += tensor.bytes;
    }
  }
  std::vector<TensorGroup> groups;
  for (Pending& p : pending) {
    if (p.group.count > 1)
      p.group.name = fmt::format("{}{{{}..{}}}{}", p.prefix, p.first_layer, p.last_layer, p.suffix);
    groups.push_back(std::move(p.group));
  }
  return groups;
}

Inspection inspect_path(const fs::path& path) {
  if (!fs::exists(path)) throw InputError("[inspect] {}: no such file or folder", path.string());
  Inspection inspection;
  inspection.path = path.string();
  if (fs::is_directory(path)) {
    add_folder(inspection, path);
  } else if (MemoryFile::is_memory_file(path)) {
    add_memory(inspection, path);
  } else if (path.extension() == ".gguf" || begins_with(path, "GGUF")) {
    add_gguf(inspection, path);
  } else if (path.extension() == ".safetensors" || path.filename().string().ends_with(".safetensors.index.json")) {
    inspection.kind = "safetensors";
    add_safetensors(inspection, path);
    for (const TensorInfo& tensor : inspection.tensors) inspection.file_bytes += tensor.bytes;
    inspection.cannot.emplace_back("weights alone: name the folder that also holds config.json and tokenizer.json");
  } else if (path.extension() == ".json") {
    inspection.kind = "tokenizer.json";
    inspection.file_bytes = static_cast<int64_t>(fs::file_size(path));
    add_tokenizer(inspection, *Tokenizer::from_json(path));
    inspection.cannot.emplace_back("a tokenizer alone: name the folder that also holds config.json and the weights");
  } else {
    throw InputError("[inspect] {}: is no GGUF file, safetensors file, tokenizer.json, memory file or model folder",
                     path.string());
  }
  for (const TensorInfo& tensor : inspection.tensors)
    if (!tensor.readable) {
      inspection.cannot.push_back(
          fmt::format("tensor '{}': type {} is not supported; convert it to Q8_0", tensor.name, tensor.type));
      inspection.runs = false;
      break;
    }
  if (inspection.runs) inspection.can.emplace_back("generate and ask");
  return inspection;
}

}  // namespace steno
