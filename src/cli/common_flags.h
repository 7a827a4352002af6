// Flags that every verb has, and the groups that several verbs share.
#pragma once
#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "memory/generate.h"
#include "methods/method.h"
#include "model/loader.h"

namespace steno {

struct CommonFlags {
  std::string model;  // empty: the default model, see model_path.h
  std::string device = "cpu";
  std::string dtype = "bf16";
  std::optional<int64_t> threads;  // none: physical cores
  uint64_t seed = 0;
  bool json = false, quiet = false, verbose = false;
  std::string config;
};
void add_common_flags(CLI::App& app, CommonFlags& flags);
// Log level and threads. Throws UsageError.
void apply_common_flags(const CommonFlags& flags);
// Throws UsageError for names it does not know, ResourceError for a device that is not there.
LoadOptions load_options(const CommonFlags& flags);

// What answers are drawn by.
struct AnswerFlags {
  SamplerConfig sampler;
  int64_t max_new_tokens = 256;
  std::vector<std::string> stop;
  std::string system, chat_format;
};
void add_answer_flags(CLI::App& app, AnswerFlags& flags);
// Throws UsageError.
GenerateOptions generate_options(const AnswerFlags& flags, const CommonFlags& common);

// Which memory is read into.
struct MethodFlags {
  std::string method = "dense";
  std::optional<int64_t> budget;
  std::optional<int64_t> chunk;
  std::vector<std::string> params;  // "key=value"
};
void add_method_flags(CLI::App& app, MethodFlags& flags);
// Throws UsageError; `owner` begins the message.
StreamOptions stream_options(const std::string& owner, const MethodFlags& flags);

}  // namespace steno
