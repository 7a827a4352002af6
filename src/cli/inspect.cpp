// steno inspect: what a file holds and what steno can run of it.
#include "base/error.h"
#include "cli/inspection.h"
#include "cli/model_path.h"
#include "cli/verb.h"

namespace steno {
namespace {

class Inspect : public Verb {
 public:
  explicit Inspect(CLI::App& root)
      : Verb(root, "inspect", "Show what a model file or folder, or a memory file, holds") {
    app_->add_option("file", file_, "GGUF file, safetensors file, tokenizer.json, memory file or Hugging Face folder");
    app_->add_flag("--all", all_, "list every tensor, not one row for all layers");
  }

  void run(StandardOutput& out) override {
    const Inspection inspection = inspect_path(file_.empty() ? find_model(common_.model).string() : file_);
    if (common_.json) return out.write_json(inspection_json(inspection));
    out.write(inspection_text(inspection, all_));
  }

 private:
  std::string file_;
  bool all_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_inspect(CLI::App& root) { return std::make_unique<Inspect>(root); }

}  // namespace steno
