// steno tokenize: text to ids and back, without loading any weights.
#include <charconv>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/documents.h"
#include "cli/model_path.h"
#include "cli/verb.h"
#include "io/gguf.h"
#include "io/tokenizer.h"

namespace steno {
namespace {

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path) || path.extension() == ".json") return Tokenizer::from_json(path);
  return Tokenizer::from_gguf(*GgufFile::open(path));
}

// Ids separated by anything of " \t\r\n,[]", so that the output of tokenize, plain or JSON, can be fed back.
std::vector<TokenId> parse_ids(const std::string& text, const std::string& name) {
  constexpr std::string_view kBetween = " \t\r\n,[]";
  std::vector<TokenId> ids;
  size_t at = 0;
  while ((at = text.find_first_not_of(kBetween, at)) != std::string::npos) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    TokenId id = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc{} || stop != text.data() + end)
      throw InputError("[tokenize] {}: '{}' at byte {} is no token id", name,
                       text.substr(at, std::min(end - at, size_t{40})), at);
    ids.push_back(id);
    at = end;
  }
  return ids;
}

class Tokenize : public Verb {
 public:
  explicit Tokenize(CLI::App& root) : Verb(root, "tokenize", "Token ids of a text, or the text of token ids") {
    app_->add_option("file", file_, "text file, or - for standard input");
    app_->add_flag("--decode", decode_, "the file holds token ids: print their text");
    app_->add_flag("--no-special", no_special_,
                   "add no BOS or EOS and read special tokens in the text as plain text; with --decode leave them out");
  }

  void run(StandardOutput& out) override {
    if (file_.empty()) throw UsageError("[tokenize] name a file, or - for standard input");
    const std::string text = read_bytes("tokenize", file_);
    const auto tokenizer = load_tokenizer(find_model(common_.model));
    if (decode_) return print_text(out, tokenizer->decode(parse_ids(text, file_), no_special_));
    print_ids(out, tokenizer->encode(text, {.add_special = !no_special_, .parse_special = !no_special_}));
  }

 private:
  void print_text(StandardOutput& out, const std::string& text) {
    if (!common_.json) return out.write(text);
    const size_t bad = find_invalid_utf8(text);
    Json json = {{"text", text}};
    // JSON cannot hold such bytes; the plain output does.
    if (bad != std::string_view::npos) json["invalid_utf8_at"] = bad;
    out.write_json(json);
  }

  void print_ids(StandardOutput& out, const std::vector<TokenId>& ids) {
    if (common_.json) return out.write_json(Json(ids));
    std::string line;
    for (const TokenId id : ids) {
      if (!line.empty()) line += ' ';
      line += std::to_string(id);
    }
    out.write(line + "\n");
  }

  std::string file_;
  bool decode_ = false, no_special_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_tokenize(CLI::App& root) { return std::make_unique<Tokenize>(root); }

}  // namespace steno
