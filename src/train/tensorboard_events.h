// Event files for TensorBoard: FOLDER/events.out.tfevents.SECONDS.HOST.PID.
//
// A file is a row of records: length (uint64), masked CRC-32C of the length, the bytes, masked CRC-32C of the bytes,
// all little-endian (TensorFlow, core/lib/io/record_writer.h); the bytes are an Event in the wire format of protocol
// buffers (tensorflow/core/util/event.proto, framework/summary.proto).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "train/metrics_sink.h"

namespace steno {

// A restart begins a new file whose first event is a session log "START" at the step after the last finished one:
// TensorBoard then forgets what earlier files say of that step and later ones. One thread.
class TensorboardEvents : public MetricsSink {
 public:
  // `clock` gives seconds since 1970. The folder is made when the first event is written. Nothing is on the disk until
  // then.
  explicit TensorboardEvents(std::filesystem::path folder, std::function<double()> clock = {});
  ~TensorboardEvents() override;
  TensorboardEvents(const TensorboardEvents&) = delete;
  TensorboardEvents& operator=(const TensorboardEvents&) = delete;

  // InputError where the folder cannot be written. The others throw ResourceError; the file then ends with the event
  // before.
  void restart(int64_t step) override;
  void scalars(int64_t step, const Scalars& values) override;
  void text(int64_t step, const std::string& name, const std::string& text) override;
  void flush() override;

 private:
  void open();
  void write_event(int64_t step, int field, const std::string& payload);
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path folder_, path_;
  std::function<double()> clock_;
  int fd_ = -1;
};

}  // namespace steno
