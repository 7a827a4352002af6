#include "train/tensorboard_events.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace steno {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

// Field numbers of the messages.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;  // Event
constexpr int kValue = 1;                                                                 // Summary
constexpr int kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;                     // Summary.Value
constexpr int kPluginData = 1, kPluginName = 1;                                           // SummaryMetadata, PluginData
constexpr int kDtype = 1, kShape = 2, kStringValue = 8, kDtypeString = 7;                 // TensorProto, DT_STRING
constexpr int kDimension = 2, kDimensionSize = 1;                                         // TensorShapeProto, Dim
constexpr int kStatus = 1, kStatusStart = 1;                                              // SessionLog

constexpr const char* kPrefix = "events.out.tfevents.";

// The wire format: each field is its number and kind, then its value.
class Message {
 public:
  Message& number(int field, uint64_t value) { return key(field, 0).varint(value); }
  Message& fixed(int field, double value) { return key(field, 1).raw(&value, sizeof value); }
  Message& fixed(int field, float value) { return key(field, 5).raw(&value, sizeof value); }
  Message& bytes(int field, std::string_view value) {
    return key(field, 2).varint(value.size()).raw(value.data(), value.size());
  }
  const std::string& str() const { return bytes_; }

 private:
  Message& key(int field, uint64_t kind) { return varint(static_cast<uint64_t>(field) << 3 | kind); }
  Message& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
    return *this;
  }
  Message& raw(const void* data, size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    return *this;
  }

  std::string bytes_;
};

// CRC-32C of data that holds checksums itself, hence the rotation and the constant.
uint32_t masked_crc(std::string_view bytes) {
  auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));  // only read
  const uint32_t crc = ~crc32_iscsi(data, static_cast<int>(bytes.size()), 0xffffffff);
  return std::rotr(crc, 15) + 0xa282ead8;
}

std::string record(const std::string& event) {
  const auto bytes_of = [](auto value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); };
  const std::string length = bytes_of(static_cast<uint64_t>(event.size()));
  return length + bytes_of(masked_crc(length)) + event + bytes_of(masked_crc(event));
}

double system_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0 || *name == '\0') return "localhost";
  return name;
}

// TensorBoard reads the files of a folder in the order of their names, so a new one must come after all others.
int64_t later_than_all(const std::filesystem::path& folder, int64_t seconds) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    seconds = std::max<int64_t>(seconds, std::strtoll(name.c_str() + std::strlen(kPrefix), nullptr, 10) + 1);
  }
  return seconds;
}

}  // namespace

TensorboardEvents::TensorboardEvents(std::filesystem::path folder, std::function<double()> clock)
    : folder_(std::move(folder)), clock_(clock ? std::move(clock) : system_seconds) {}

TensorboardEvents::~TensorboardEvents() {
  if (fd_ >= 0) ::close(fd_);
}

void TensorboardEvents::open() {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) throw InputError("[train] {}: cannot be made ({})", folder_.string(), error.message());
  path_ = folder_ / fmt::format("{}{:010}.{}.{}", kPrefix, later_than_all(folder_, static_cast<int64_t>(clock_())),
                                host_name(), getpid());
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) throw InputError("[train] {}: cannot be written ({})", path_.string(), std::strerror(errno));
  write_event(0, kFileVersion, "brain.Event:2");
}

void TensorboardEvents::restart(int64_t step) {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  open();
  write_event(step + 1, kSessionLog, Message().number(kStatus, kStatusStart).str());
}

void TensorboardEvents::scalars(int64_t step, const Scalars& values) {
  Message summary;
  for (const auto& [name, value] : values)
    summary.bytes(kValue, Message().bytes(kTag, name).fixed(kSimpleValue, static_cast<float>(value)).str());
  write_event(step, kSummary, summary.str());
}

void TensorboardEvents::text(int64_t step, const std::string& name, const std::string& text) {
  const Message plugin = Message().bytes(kPluginName, "text");
  const Message shape = Message().bytes(kDimension, Message().number(kDimensionSize, 1).str());
  const Message tensor = Message().number(kDtype, kDtypeString).bytes(kShape, shape.str()).bytes(kStringValue, text);
  const Message value = Message()
                            .bytes(kTag, name)
                            .bytes(kTensor, tensor.str())
                            .bytes(kMetadata, Message().bytes(kPluginData, plugin.str()).str());
  write_event(step, kSummary, Message().bytes(kValue, value.str()).str());
}

void TensorboardEvents::write_event(int64_t step, int field, const std::string& payload) {
  if (fd_ < 0) open();
  Message event;
  event.fixed(kWallTime, clock_());
  if (step != 0) event.number(kStep, static_cast<uint64_t>(step));  // zero is what a missing number means
  event.bytes(field, payload);
  const std::string bytes = record(event.str());
  struct stat before {};
  if (fstat(fd_, &before) != 0) fail("looking at it");
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      [[maybe_unused]] const int cut = ftruncate(fd_, before.st_size);  // the cause is what counts
      errno = error;
      fail("writing");
    }
    done += static_cast<size_t>(n);
  }
}

void TensorboardEvents::flush() {
  if (fd_ >= 0 && fsync(fd_) != 0) fail("writing");
}

void TensorboardEvents::fail(const char* action) const {
  throw ResourceError("[train] {}: {} failed ({})", path_.string(), action, std::strerror(errno));
}

}  // namespace steno
