// Documents into a memory file: what `steno compress` and `steno memory append` do once their flags are read.
#pragma once
#include <string>
#include <vector>

#include "cli/common_flags.h"
#include "cli/compression.h"
#include "cli/output.h"
#include "io/file_lock.h"

namespace steno {

struct CompressRequest {
  std::string owner;                   // begins messages: "compress"
  std::vector<std::string> documents;  // names and patterns
  std::string out;
  std::string method;       // empty: that of the memory that is appended to
  FieldValues settings;     // the method's parameters; with append they replace those that the memory names
  bool append = false;      // the memory is read first and its spans are kept
  bool replace = false;     // a memory of that name may be lost; otherwise it is refused
  bool must_exist = false;  // append to nothing is refused
  WhenLocked when_locked = WhenLocked::refuse;
  SpanCut cut = SpanCut::fixed;
  std::optional<SlotType> slot_type;  // none: as the memory that is appended to has them, else bf16
  bool keep_text = false;
  CompressionOptions options;
};

// Flags that the two verbs share, and the request that they make.
struct CompressFlags {
  std::vector<std::string> set;
  int64_t jobs = 1;
  std::string slot_type, spans = "fixed";
  bool keep_text = false, wait = false, certify = false, compare = false;
  std::optional<double> min_fidelity;
  std::optional<int64_t> halvings;
};
void add_compress_flags(CLI::App& app, CompressFlags& flags);
// Throws UsageError.
CompressRequest compress_request(const std::string& owner, const CompressFlags& flags);

// Throws Interrupted, having written nothing, when Ctrl-C comes before the last span is done.
void run_compress(const CompressRequest& request, const CommonFlags& common, StandardOutput& out);

}  // namespace steno
