// steno tokenize: text to ids and back, and training data to token shards, without loading any weights.
#include <charconv>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/documents.h"
#include "cli/model_path.h"
#include "cli/verb.h"
#include "io/gguf.h"
#include "io/tokenizer.h"
#include "train/token_shards.h"

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
    app_->add_option(
        "file", files_,
        "text file, or - for standard input; with --shards any number of .jsonl, .jsonl.zst and text files");
    app_->add_flag("--decode", decode_, "the file holds token ids: print their text");
    app_->add_flag("--no-special", no_special_,
                   "add no BOS or EOS and read special tokens in the text as plain text; with --decode leave them out");
    const auto add_shard = [&](const char* flag, auto& value, const char* help) {
      return app_->add_option(flag, value, help)->group("Token shards for training");
    };
    add_shard("--shards", shards_, "write the records of the files as token ids to this file (NAME.shard)");
    add_shard("--split-bytes", shard_.split_bytes, "several shards of at most so many bytes (64M)")
        ->transform(CLI::AsSizeValue(false));
    add_shard("--total-bytes", shard_.total_bytes, "a random choice (--seed) that takes at most so many bytes in all")
        ->transform(CLI::AsSizeValue(false));
    add_shard("--piece", shard_.piece, "cut texts into pieces of at most so many tokens (0: leave them whole)")
        ->check(CLI::NonNegativeNumber);
    app_->add_flag("--skip-bad", shard_.read.skip_bad, "leave out bad records and count them")
        ->group("Token shards for training");
  }

  void run(StandardOutput& out) override {
    if (files_.empty()) throw UsageError("[tokenize] name a file, or - for standard input");
    if (!shards_.empty()) return write_token_shards(out);
    for (const char* flag : {"--split-bytes", "--total-bytes", "--piece", "--skip-bad"})
      if (app_->count(flag) > 0) throw UsageError("[tokenize] {} goes with --shards", flag);
    if (files_.size() > 1) throw UsageError("[tokenize] one file at a time; several go with --shards");
    const std::string& file = files_.front();
    const std::string text = read_bytes("tokenize", file);
    const auto tokenizer = load_tokenizer(find_model(common_.model));
    if (decode_) return print_text(out, tokenizer->decode(parse_ids(text, file), no_special_));
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

  void write_token_shards(StandardOutput& out) {
    if (decode_ || no_special_) throw UsageError("[tokenize] --shards goes with neither --decode nor --no-special");
    const std::vector<std::string> names = expand_names("tokenize", files_);
    const auto tokenizer = load_tokenizer(find_model(common_.model));
    shard_.seed = common_.seed;
    const ShardsWritten written = write_shards(shards_, {names.begin(), names.end()}, *tokenizer, shard_);
    if (common_.json) {
      Json json = {{"files", Json::array()}, {"records", written.records},   {"tokens", written.tokens},
                   {"bytes", written.bytes}, {"left_out", written.left_out}, {"sources", written.sources}};
      for (const auto& path : written.files) json["files"].push_back(path.string());
      return out.write_json(json);
    }
    for (const Json& source : written.sources["files"])
      out.write(fmt::format("{}: {} texts, {} questions, {} tokens{}{}\n", source["name"].get<std::string>(),
                            source["texts"].get<int64_t>(), source["questions"].get<int64_t>(),
                            source["tokens"].get<int64_t>(), counted(source, "unanswered"),
                            counted(source, "skipped")));
    for (const auto& path : written.files) out.write(path.string() + "\n");
    out.write(fmt::format("{} records, {} tokens, {} bytes{}\n", written.records, written.tokens, written.bytes,
                          written.left_out > 0 ? fmt::format("; {} not chosen", written.left_out) : ""));
  }

  static std::string counted(const Json& source, const char* what) {
    const auto count = source[what].get<int64_t>();
    return count > 0 ? fmt::format(", {} {} left out", count, what) : "";
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

  std::vector<std::string> files_;
  bool decode_ = false, no_special_ = false;
  std::string shards_;
  ShardOptions shard_;
};

}  // namespace

std::unique_ptr<Verb> make_tokenize(CLI::App& root) { return std::make_unique<Tokenize>(root); }

}  // namespace steno
