// metrics.jsonl and samples.jsonl of a run: lines of JSON that begin with "step".
#pragma once
#include <filesystem>
#include <string>

#include "io/json.h"
#include "train/metrics_sink.h"

namespace steno {

// A file that lines are added to, and that can be taken back to an earlier step. One thread.
class JsonLines {
 public:
  explicit JsonLines(std::filesystem::path path) : path_(std::move(path)) {}
  ~JsonLines();
  JsonLines(const JsonLines&) = delete;
  JsonLines& operator=(const JsonLines&) = delete;

  // Drops lines of later steps and a half-written last line, whole or not at all, and opens the file for more. Throws
  // InputError (not to be written, or a line without a step), ResourceError.
  void cut_after(int64_t step);
  // Throws ResourceError; the file then ends with the line before.
  void append(const Json& line);
  // Throws ResourceError.
  void flush();

 private:
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path path_;
  int fd_ = -1;
};

// {"step": 20, "train/loss": 2.31, ...}; numbers that are not finite become null.
class MetricsFile : public MetricsSink {
 public:
  explicit MetricsFile(std::filesystem::path path) : lines_(std::move(path)) {}
  void restart(int64_t step) override { lines_.cut_after(step); }
  void scalars(int64_t step, const Scalars& values) override;
  void text(int64_t, const std::string&, const std::string&) override {}
  void flush() override { lines_.flush(); }

 private:
  JsonLines lines_;
};

// {"step": 20, "sample": 0, "source": "...", "output": "..."}
class SamplesFile : public MetricsSink {
 public:
  explicit SamplesFile(std::filesystem::path path) : lines_(std::move(path)) {}
  void restart(int64_t step) override { lines_.cut_after(step); }
  void scalars(int64_t, const Scalars&) override {}
  void text(int64_t step, const std::string& name, const std::string& text) override;
  void sample(int64_t step, int64_t index, const TrainingSample& sample) override;
  void flush() override { lines_.flush(); }

 private:
  JsonLines lines_;
};

}  // namespace steno
