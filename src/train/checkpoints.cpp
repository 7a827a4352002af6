#include "train/checkpoints.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "io/content_checksum.h"
#include "io/safetensors.h"
#include "io/shown.h"
#include "train/train_config.h"

namespace steno {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "step-";
constexpr const char* kSuffix = ".safetensors";

// The step in a checkpoint's name; nothing for other files.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return {};
  const char* const begin = name.data() + std::string_view(kPrefix).size();
  const char* const end = name.data() + name.size() - std::string_view(kSuffix).size();
  int64_t step = -1;
  const auto [stop, error] = std::from_chars(begin, end, step);
  return error == std::errc() && stop == end && step >= 0 ? std::optional(step) : std::nullopt;
}

// The first value that differs, as "model/hash: 'a' there, 'b' now"; "" when none does.
std::string difference(const Json& there, const Json& now) {
  const Json a = there.flatten(), b = Json::parse(now.dump()).flatten();
  const auto text = [](const Json& flat, const std::string& name) {
    return flat.contains(name) ? shown(flat[name].dump()) : std::string("nothing");
  };
  for (const Json* side : {&a, &b})
    for (const auto& [name, value] : side->items())
      if (text(a, name) != text(b, name))
        return fmt::format("{} is {} there and {} now", name.substr(1), text(a, name), text(b, name));
  return "";
}

void compare_configuration(const fs::path& path, const Json& there, const FieldValues& now) {
  for (const auto& [name, value] : now) {
    if (may_change_on_resume(name)) continue;
    const std::string old = there.value(name, "nothing");
    if (old != value)
      throw UsageError("[train] {}: {} is {} there and {} now; resume with the settings the run began with",
                       path.string(), name, old, value);
  }
}

}  // namespace

Checkpoints::Checkpoints(fs::path folder, RunIdentity identity, std::vector<std::pair<std::string, at::Tensor>> tensors)
    : folder_(std::move(folder)), identity_(std::move(identity)), tensors_(std::move(tensors)) {}

fs::path Checkpoints::path_of(int64_t step) const { return folder_ / fmt::format("{}{:08}{}", kPrefix, step, kSuffix); }

fs::path Checkpoints::save(const RunState& state) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw ResourceError("[train] {}: cannot be made a folder ({})", folder_.string(), error.message());
  std::map<std::string, std::string> metadata = {{"format", "steno.checkpoint"},
                                                 {"format_version", "1"},
                                                 {"config", Json(identity_.config).dump()},
                                                 {"setup", identity_.setup.dump()},
                                                 {"environment", identity_.environment.dump()},
                                                 {"state", state.to_json().dump()}};
  metadata["checksum"] = content_checksum(metadata, tensors_);
  write_safetensors(path_of(state.step), tensors_, metadata);
  return path_of(state.step);
}

std::vector<int64_t> Checkpoints::steps() const {
  std::vector<int64_t> steps;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_, none))
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<RunState> Checkpoints::restore_newest() const {
  const std::vector<int64_t> there = steps();
  for (auto step = there.rbegin(); step != there.rend(); ++step) {
    try {
      return restore(path_of(*step));
    } catch (const InputError& error) {
      spdlog::warn("{}; the checkpoint before it is taken", error.what());
    }
  }
  if (!there.empty())
    throw InputError("[train] {}: no checkpoint is whole; begin anew in another --out", folder_.string());
  return {};
}

RunState Checkpoints::restore(const fs::path& path) const {
  const auto file = SafetensorsFile::open(path);
  const auto& metadata = file->metadata();
  const auto value = [&](const char* name) {
    const auto found = metadata.find(name);
    if (found == metadata.end()) throw InputError("[train] {}: no checkpoint ('{}' is missing)", path.string(), name);
    return found->second;
  };
  std::vector<std::pair<std::string, at::Tensor>> stored;
  for (const auto& entry : file->entries()) stored.emplace_back(entry.name, file->tensor(entry.name));
  if (value("checksum") != content_checksum(metadata, stored))
    throw InputError("[train] {}: the file is damaged: its contents and its checksum differ", path.string());
  if (value("format") != "steno.checkpoint" || value("format_version") != "1")
    throw UsageError("[train] {}: format {} {} is not one that this version reads", path.string(), value("format"),
                     value("format_version"));
  const std::string where = "[train] " + path.string();
  const auto json = [&](const char* name) {
    Json parsed = Json::parse(value(name), nullptr, false);
    if (!parsed.is_object()) throw InputError("{}: its {} is no JSON object", where, name);
    return parsed;
  };
  compare_configuration(path, json("config"), identity_.config);
  if (const std::string found = difference(json("setup"), identity_.setup); !found.empty())
    throw UsageError("{}: {}; resume with what the run began with", where, found);
  if (const std::string found = difference(json("environment"), identity_.environment); !found.empty())
    spdlog::warn("{}: {}: the run goes on, but equal to an undisturbed one up to rounding only", where, found);

  if (stored.size() != tensors_.size())
    throw UsageError("{}: holds {} tensors, this run has {}", where, stored.size(), tensors_.size());
  for (const auto& [name, tensor] : tensors_)
    if (!file->has(name) || file->tensor(name).sizes() != tensor.sizes() ||
        file->tensor(name).scalar_type() != tensor.scalar_type())
      throw UsageError("{}: '{}' is absent or of another shape", where, name);
  RunState state = RunState::from_json(json("state"), where);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors_) at::Tensor(tensor).copy_(file->tensor(name));
  return state;
}

void Checkpoints::prune(int64_t keep, int64_t best) const {
  std::vector<int64_t> there = steps();
  there.resize(there.size() - std::min(there.size(), static_cast<size_t>(keep)));
  std::error_code ignored;  // one that stays is no harm
  for (const int64_t step : there)
    if (step != best) fs::remove(path_of(step), ignored);
}

}  // namespace steno
