// steno compress: documents into a memory file that answers questions for ever after.
#include "base/error.h"
#include "cli/compress_run.h"
#include "cli/verb.h"

namespace steno {
namespace {

class Compress : public Verb {
 public:
  explicit Compress(CLI::App& root) : Verb(root, "compress", "Write documents into a memory file, once and for all") {
    app_->add_option("document", documents_, "text files, or - for standard input");
    app_->add_option("-o,--out", out_, "the memory file to write")->type_name("FILE");
    app_->add_option("--method", method_, "what writes the slots")->group("Memory files")->capture_default_str();
    app_->add_flag("--append", append_, "add to the memory, if it exists")->group("Memory files");
    app_->add_flag("--force", force_, "replace a memory of that name")->group("Memory files");
    add_compress_flags(*app_, flags_);
  }

  void run(StandardOutput& out) override {
    if (documents_.empty()) throw UsageError("[compress] name at least one document, or - for standard input");
    if (out_.empty()) throw UsageError("[compress] name the memory file to write: -o FILE");
    if (out_ == "-")
      throw UsageError("[compress] a memory is a file that is changed later: -o FILE, not standard output");
    if (append_ && force_) throw UsageError("[compress] --append keeps the memory and --force replaces it; give one");
    CompressRequest request = compress_request("compress", flags_);
    request.documents = documents_;
    request.out = out_;
    request.method = method_;
    method_named(method_);
    request.append = append_;
    request.replace = force_;
    run_compress(request, common_, out);
  }

 private:
  std::vector<std::string> documents_;
  std::string out_, method_ = "icae";
  bool append_ = false, force_ = false;
  CompressFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_compress(CLI::App& root) { return std::make_unique<Compress>(root); }

}  // namespace steno
