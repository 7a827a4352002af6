// steno train: one objective of one method, learned from texts or question-answer records. The base model is read only.
#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <optional>

#include "base/error.h"
#include "cli/memory_source.h"
#include "cli/model_path.h"
#include "cli/text.h"
#include "cli/train_progress.h"
#include "cli/verb.h"
#include "model/identity.h"
#include "train/json_lines.h"
#include "train/run_folder.h"
#include "train/tensorboard_events.h"
#include "train/trainer.h"

namespace steno {
namespace {

// Every field as a flag: "micro_batch" is --micro-batch. The seed has a flag for all verbs.
template <class Config>
void add_fields(CLI::App& app, const char* group, Config& config) {
  config.visit([&](const char* field, auto& value, const char* help) {
    std::string name = field;
    if (name == "seed") return;
    std::replace(name.begin(), name.end(), '_', '-');
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>)
      app.add_flag("--" + name, value, help)->group(group);
    else
      app.add_option("--" + name, value, help)->group(group)->capture_default_str();
  });
}

class Train : public Verb {
 public:
  explicit Train(CLI::App& root)
      : Verb(root, "train", "Teach a method: what it adds to the model, which stays as it is") {
    constexpr const char* kWhat = "What is learned";
    app_->add_option("--method", method_, "the method; 'steno methods' lists them")
        ->group(kWhat)
        ->capture_default_str();
    app_->add_option("--objective", objective_, "what it learns to do; a wrong name lists the right ones")
        ->group(kWhat);
    app_->add_option("--set", set_, "a setting of the method, as key=value; may be repeated")
        ->group(kWhat)
        ->allow_extra_args(false);
    app_->add_option("--init", init_, "adapter folder to start from, without it a fresh one")
        ->group(kWhat)
        ->type_name("DIR");
    app_->add_option("--out", out_, "folder of the run: metrics, checkpoints, adapter")->group(kWhat)->type_name("DIR");
    app_->add_flag("--resume", resume_, "go on from the newest checkpoint in --out")->group(kWhat);
    constexpr const char* kData = "Data";
    app_->add_option("--data", data_, "texts, .jsonl[.zst] records or shards to learn from")
        ->group(kData)
        ->type_name("FILE");
    app_->add_option("--valid", valid_, "the same, held out: evaluated, never learned from")
        ->group(kData)
        ->type_name("FILE");
    add_fields(*app_, kData, data_config_);
    add_fields(*app_, "Training", config_);
  }

  void run(StandardOutput& out) override {
    const Method& method = check();
    config_.seed = common_.seed;
    CommonFlags common = common_;
    if (common.device == "cuda" && launched_ranks() > 1) common.device = fmt::format("cuda:{}", local_rank());
    LoadOptions options = load_options(common);
    options.keep_quantised = false;  // one dense copy serves every pass
    const auto ranks = open_communicator(options.device);
    if (ranks->rank() > 0) spdlog::set_level(spdlog::level::err);
    config_.check(ranks->size());
    // A folder that is there is looked at before anything is read; a new one is made when nothing can be refused any
    // more.
    std::optional<RunFolder> folder;
    if (ranks->rank() == 0 && std::filesystem::exists(out_)) folder.emplace(out_, resume_);

    const Model model = load_model(find_model(common_.model), options);
    const auto train = open("data", data_, model);
    const auto valid = valid_.empty() ? nullptr : open("valid", valid_, model);
    const FieldValues settings = given_settings(method);
    const auto objective = method.open_objective(model, objective_, settings, config_.seed);
    check_parts(objective->parts(), "data", *train);
    if (valid) check_parts(objective->parts(), "valid", *valid);
    if (ranks->rank() == 0 && !folder) folder.emplace(out_, resume_);
    tell_size(*objective, model);

    TrainProgress progress(config_.steps);
    MetricsFile metrics(std::filesystem::path(out_) / "metrics.jsonl");
    SamplesFile samples(std::filesystem::path(out_) / "samples.jsonl");
    TensorboardEvents events(std::filesystem::path(out_) / "tensorboard");
    TrainRun run = {out_, resume_, setup(method, settings, model, *train, valid.get()), environment(ranks->size())};
    Trainer trainer(*objective, *train, valid.get(), *ranks, config_, std::move(run),
                    {&progress, &metrics, &samples, &events});
    const RunState state = trainer.run();
    if (ranks->rank() == 0) print(out, state);
  }

 private:
  // Everything that can be known before a model is read.
  const Method& check() const {
    const Method& method = method_named(method_);
    const std::vector<std::string> known = method.objectives();
    if (known.empty()) throw UsageError("[train] {} has nothing to learn", method_);
    if (std::find(known.begin(), known.end(), objective_) == known.end())
      throw UsageError("[train] {}; {} has: {}",
                       objective_.empty() ? "no --objective is named" : "'" + objective_ + "' is no --objective",
                       method_, fmt::format("{}", fmt::join(known, ", ")));
    if (data_.empty()) throw UsageError("[train] name what to learn from: --data FILE...");
    if (out_.empty()) throw UsageError("[train] name the folder of the run: --out DIR");
    return method;
  }

  // The settings that were given, and nothing else: what is not given may come with --init. UsageError for a name that
  // the method does not have.
  FieldValues given_settings(const Method& method) const {
    FieldValues given = parse_settings("train", set_);
    if (!init_.empty() && !given.emplace("adapter", init_).second)
      throw UsageError("[train] --init and --set adapter= are the same; give one of them");
    std::vector<std::string> known;
    for (const FieldInfo& field : method.training_parameters()) known.push_back(field.name);
    for (const auto& item : given)
      if (std::find(known.begin(), known.end(), item.first) == known.end())
        throw UsageError("[train] {} has no setting '{}'; it has: {}", method_, item.first,
                         fmt::format("{}", fmt::join(known, ", ")));
    return given;
  }

  static FieldValues with_defaults(const Method& method, FieldValues given) {
    for (const FieldInfo& field : method.training_parameters()) given.emplace(field.name, field.value);
    return given;
  }

  std::unique_ptr<const ExampleSource> open(const char* flag, const std::vector<std::string>& files,
                                            const Model& model) const {
    auto source = open_examples({files.begin(), files.end()}, model.tokenizer, data_config_);
    Json summary = source->summary();
    summary.erase("identity");
    spdlog::info("--{}: {} of {}", flag, plural(source->size(), "example"),
                 plural(static_cast<int64_t>(files.size()), "file"));
    spdlog::debug("--{}: {}", flag, summary.dump(-1, ' ', false, Json::error_handler_t::replace));
    return source;
  }

  // Whether the objective can learn from every example.
  void check_parts(int64_t parts, const char* flag, const ExampleSource& source) const {
    const Json summary = source.summary();
    const auto texts = summary.value("texts", int64_t{0}), questions = summary.value("questions", int64_t{0});
    if (parts == 3 && texts > 0)
      throw InputError(
          "[train] --objective {} learns from questions, and --{} has {} without any; take records with "
          "context, question and answers",
          objective_, flag, plural(texts, "text"));
    if (parts == 1 && questions > 0)
      throw InputError("[train] --objective {} learns from texts, and --{} has {}; take --objective ft for them",
                       objective_, flag, plural(questions, "question"));
  }

  void tell_size(const Objective& objective, const Model& model) const {
    int64_t numbers = 0, tensors = 0;
    for (const Parameter& p : objective.parameters()) numbers += p.value.numel(), ++tensors;
    spdlog::info("{} {}: {} are trained, in {}; {} is frozen ({} on {})", method_, objective_,
                 plural(numbers, "number"), plural(tensors, "tensor"), model.name, common_.dtype, common_.device);
  }

  // What makes a run what it is: compared on resume.
  Json setup(const Method& method, const FieldValues& settings, const Model& model, const ExampleSource& train,
             const ExampleSource* valid) const {
    return {{"method", method.name()},
            {"method_version", method.version()},
            {"objective", objective_},
            {"settings", with_defaults(method, settings)},
            {"base", identity_of(model)},
            {"dtype", common_.dtype},
            {"data", train.summary().value("identity", "")},
            {"valid", valid ? valid->summary().value("identity", "") : "none"}};
  }

  Json environment(int ranks) const {
    return {{"steno", STENO_VERSION},
            {"git", STENO_GIT_REVISION},
            {"ranks", ranks},
            {"device", common_.device},
            {"threads", at::get_num_threads()}};
  }

  void print(StandardOutput& out, const RunState& state) const {
    const std::string adapter = (std::filesystem::path(out_) / "adapter").string();
    const Json best = state.best_loss ? Json(*state.best_loss) : Json();
    if (common_.json)
      return out.write_json({{"steps", state.step},
                             {"tokens", state.tokens},
                             {"skipped", state.skipped},
                             {"empty", state.empty},
                             {"best_loss", best},
                             {"best_step", state.best_step},
                             {"adapter", adapter}});
    std::string text =
        fmt::format("{} of {} are done: {}\n", plural(state.step, "step"), plural(state.tokens, "token"), adapter);
    if (state.best_loss)
      text +=
          fmt::format("smallest held-out loss: {:.4f} after step {}\n", *state.best_loss, count_text(state.best_step));
    out.write(text);
  }

  std::string method_ = "icae", objective_, init_, out_;
  std::vector<std::string> set_, data_, valid_;
  bool resume_ = false;
  DataConfig data_config_;
  TrainConfig config_;
};

}  // namespace

std::unique_ptr<Verb> make_train(CLI::App& root) { return std::make_unique<Train>(root); }

}  // namespace steno
