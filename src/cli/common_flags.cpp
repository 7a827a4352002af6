#include "cli/common_flags.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/cores.h"
#include "model/thread_waits.h"

namespace steno {

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  constexpr const char* kGroup = "Common flags";
  app.add_option("--model", flags.model,
                 "GGUF file or Hugging Face folder; without it $STENO_MODEL or the model that 'make model' fetches")
      ->group(kGroup)
      ->type_name("FILE");
  app.add_option("--device", flags.device, "cpu, cuda or cuda:N")->group(kGroup)->capture_default_str();
  app.add_option("--dtype", flags.dtype, "bf16, or f32 for reference results")->group(kGroup)->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; without it one per physical core")->group(kGroup);
  app.add_option("--seed", flags.seed, "seed of everything random")->group(kGroup)->capture_default_str();
  app.add_flag("--json", flags.json, "print one JSON object; everything else goes to standard error")->group(kGroup);
  app.add_flag("--quiet", flags.quiet, "no progress, warnings or accounting on standard error")->group(kGroup);
  app.add_flag("--verbose", flags.verbose, "the whole text of internal errors, and debug messages")->group(kGroup);
  app.add_option("--config", flags.config, "TOML file with flags as keys; flags on the command line win")
      ->group(kGroup)
      ->type_name("FILE");
}

void apply_common_flags(const CommonFlags& flags) {
  if (flags.quiet) spdlog::set_level(spdlog::level::err);
  if (flags.verbose) spdlog::set_level(spdlog::level::debug);
  if (flags.threads && *flags.threads < 1) throw UsageError("--threads must be at least 1, not {}", *flags.threads);
  if (flags.threads && *flags.threads > 1024)
    throw UsageError("--threads must be at most 1024, not {}", *flags.threads);
  at::set_num_threads(flags.threads ? static_cast<int>(*flags.threads) : usable_cores());
  yield_cores_when_busy();
}

LoadOptions load_options(const CommonFlags& flags) {
  LoadOptions options;
  if (flags.dtype == "bf16") {
    options.dtype = at::kBFloat16;
  } else if (flags.dtype == "f32") {
    options.dtype = at::kFloat;
  } else {
    throw UsageError("--dtype '{}' is not known; take bf16 or f32", flags.dtype);
  }
  if (flags.device == "cpu") return options;

  constexpr std::string_view kCuda = "cuda";
  int64_t index = 0;
  if (flags.device.starts_with("cuda:")) {
    index = parse_int("device", "--device", flags.device.substr(kCuda.size() + 1));
  } else if (flags.device != kCuda) {
    throw UsageError("--device '{}' is not known; take cpu, cuda or cuda:N", flags.device);
  }
  if (!at::hasCUDA())
    throw ResourceError("--device {}: this machine or its libtorch has no CUDA; take cpu", flags.device);
  const auto count = static_cast<int64_t>(at::getNumGPUs());
  if (index < 0 || index >= count)
    throw ResourceError("--device {}: there is no such device; this machine has {}", flags.device, count);
  options.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
  return options;
}

void add_answer_flags(CLI::App& app, AnswerFlags& flags) {
  constexpr const char* kGroup = "Answers";
  flags.sampler.visit([&](const char* name, auto& value, const char* help) {
    app.add_option(std::string("--") + name, value, help)->group(kGroup)->capture_default_str();
  });
  app.add_option("--max-new-tokens", flags.max_new_tokens, "longest answer")->group(kGroup)->capture_default_str();
  app.add_option("--stop", flags.stop, "text that ends an answer; may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false);
  app.add_option("--system", flags.system, "system message of the conversation")->group(kGroup);
  app.add_option("--chat-format", flags.chat_format, "name of the chat format, where the model's own is not recognised")
      ->group(kGroup);
}

GenerateOptions generate_options(const AnswerFlags& flags, const CommonFlags& common) {
  if (flags.max_new_tokens < 0) throw UsageError("--max-new-tokens must not be negative ({})", flags.max_new_tokens);
  for (const std::string& stop : flags.stop)
    if (stop.empty()) throw UsageError("--stop must not be empty");
  GenerateOptions options;
  options.sampler = flags.sampler;
  options.sampler.seed = common.seed;
  options.sampler.check();
  options.max_new_tokens = flags.max_new_tokens;
  options.stop = flags.stop;
  return options;
}

void add_method_flags(CLI::App& app, MethodFlags& flags) {
  constexpr const char* kGroup = "Memory";
  app.add_option("--method", flags.method, "how the memory is kept; 'steno methods' lists them")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--budget", flags.budget, "slots to keep per layer; without it the method's own default")
      ->group(kGroup);
  app.add_option("--chunk", flags.chunk, "tokens read at once; without it chosen by the method")->group(kGroup);
  app.add_option("--param", flags.params, "a parameter of the method, as key=value; may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false);
}

StreamOptions stream_options(const std::string& owner, const MethodFlags& flags) {
  StreamOptions options;
  if (flags.budget && *flags.budget < 1)
    throw UsageError("[{}] --budget must be at least 1 slot, not {}", owner, *flags.budget);
  if (flags.chunk && *flags.chunk < 1)
    throw UsageError("[{}] --chunk must be at least 1 token, not {}", owner, *flags.chunk);
  options.budget = flags.budget.value_or(0);
  options.chunk_size = flags.chunk.value_or(0);
  for (const std::string& param : flags.params) {
    const size_t equals = param.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError("[{}] --param '{}' is not of the form key=value", owner, param);
    if (!options.params.emplace(param.substr(0, equals), param.substr(equals + 1)).second)
      throw UsageError("[{}] --param {} is given twice", owner, param.substr(0, equals));
  }
  return options;
}

}  // namespace steno
