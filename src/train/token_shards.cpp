#include "train/token_shards.h"

#include <algorithm>

#include "base/error.h"
#include "io/content_checksum.h"
#include "io/file_hash.h"
#include "io/safetensors.h"
#include "train/cut_text.h"
#include "train/sample_order.h"

namespace steno {
namespace {

constexpr const char* kFormat = "steno-tokens/1";
constexpr int64_t kPartBytes = 16, kRecordBytes = 8;

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

Tensors tensors_of(const TokenRecords& records) {
  // The tables first: what has eight bytes stays aligned.
  return {{"parts", records.parts()}, {"records", records.records()}, {"tokens", records.tokens()}};
}

// What is chosen or left out as one: a piece of a text, or all questions about one context.
struct Choice {
  int64_t record, records;  // first and number of records
  int64_t begin, count;     // tokens, of a text
  int64_t bytes;
};

int64_t token_bytes(const TokenRecords& all) { return static_cast<int64_t>(all.tokens().element_size()); }

// The records behind `record` that share its context, itself included.
int64_t questions_together(const TokenRecords& all, int64_t record) {
  const int64_t* ranges = all.parts().const_data_ptr<int64_t>();
  const int64_t* first = all.records().const_data_ptr<int64_t>();
  int64_t end = record + 1;
  while (end < all.size() && all.parts_of(end) > 1 && all.length(end, 0) > 0 &&
         ranges[2 * first[end]] == ranges[2 * first[record]])
    ++end;
  return end - record;
}

std::vector<Choice> choices_of(const TokenRecords& all, int64_t piece) {
  std::vector<Choice> choices;
  for (int64_t record = 0; record < all.size();) {
    if (all.parts_of(record) == 1) {
      for (const auto& [begin, count] : cut_text(all.length(record, 0), piece))
        choices.push_back({record, 1, begin, count, count * token_bytes(all) + kPartBytes + kRecordBytes});
      ++record;
      continue;
    }
    const int64_t together = questions_together(all, record);
    int64_t bytes = all.length(record, 0) * token_bytes(all);
    for (int64_t r = record; r < record + together; ++r) {
      bytes += kRecordBytes + kPartBytes * all.parts_of(r);
      for (int64_t part = 1; part < all.parts_of(r); ++part) bytes += all.length(r, part) * token_bytes(all);
    }
    choices.push_back({record, together, 0, 0, bytes});
    record += together;
  }
  return choices;
}

// Takes in a random order what still fits, and gives it back in the order of the files.
std::vector<Choice> choose(const std::vector<Choice>& all, int64_t total_bytes, uint64_t seed) {
  if (total_bytes == 0) return all;
  std::vector<size_t> chosen;
  int64_t left = total_bytes - kRecordBytes;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto at = static_cast<size_t>(permuted(i, all.size(), seed));
    if (all[at].bytes > left) break;  // going on to what is small enough would favour short pieces
    left -= all[at].bytes;
    chosen.push_back(at);
  }
  std::ranges::sort(chosen);
  std::vector<Choice> result;
  for (const size_t at : chosen) result.push_back(all[at]);
  return result;
}

class Splitter {
 public:
  Splitter(int64_t vocab, int64_t split_bytes) : builder_(vocab), split_bytes_(split_bytes) {}

  void add(const RecordParts& parts) {
    if (split_bytes_ > 0 && builder_.bytes_with(parts) > split_bytes_) {
      if (builder_.size() > 0) done_.push_back(builder_.finish());
      if (const int64_t bytes = builder_.bytes_with(parts); bytes > split_bytes_)
        throw InputError("[tokenize] a record takes {} bytes and does not fit in a shard of {}; raise --split-bytes{}",
                         bytes, split_bytes_, parts.size() == 1 ? " or cut texts with --piece" : "");
    }
    builder_.add(parts);
  }
  std::vector<TokenRecords> finish() {
    if (builder_.size() > 0) done_.push_back(builder_.finish());
    return std::move(done_);
  }

 private:
  TokenRecordsBuilder builder_;
  int64_t split_bytes_;
  std::vector<TokenRecords> done_;
};

std::filesystem::path shard_name(const std::filesystem::path& out, size_t i, size_t count) {
  if (count == 1) return out;
  return out.parent_path() /
         fmt::format("{}-{:05}-of-{:05}{}", out.stem().string(), i + 1, count, out.extension().string());
}

std::map<std::string, std::string> metadata_of(const TokenRecords& records, const Tokenizer& tokenizer,
                                               const Json& sources, size_t i, size_t count) {
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"tokenizer", hash_tokenizer(tokenizer)},
                                                 {"tokenizer_kind", tokenizer.kind()},
                                                 {"vocab", std::to_string(tokenizer.vocab_size())},
                                                 {"sources", sources.dump()},
                                                 {"shard", fmt::format("{} of {}", i + 1, count)}};
  metadata["checksum"] = content_checksum(metadata, tensors_of(records));
  return metadata;
}

const std::string& need(const std::map<std::string, std::string>& metadata, const char* name,
                        const std::string& where) {
  const auto found = metadata.find(name);
  if (found == metadata.end())
    throw InputError("{}: no token shard ('{}' is missing); make one with 'steno tokenize --shards'", where, name);
  return found->second;
}

}  // namespace

bool is_shard_name(const std::filesystem::path& path) {
  return path.extension() == ".shard" || path.extension() == ".safetensors";
}

TokenShard open_shard(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  const std::string where = "[shard] " + path.string();
  const auto file = SafetensorsFile::open(path);
  const auto& metadata = file->metadata();
  if (const std::string& format = need(metadata, "format", where); format != kFormat)
    throw InputError("{}: format '{}' is not '{}'; make the shard again with 'steno tokenize --shards'", where, format,
                     kFormat);
  const std::string& checksum = need(metadata, "checksum", where);
  Tensors tensors;
  for (const SafetensorsEntry& entry : file->entries()) tensors.emplace_back(entry.name, file->tensor(entry.name));
  if (content_checksum(metadata, tensors) != checksum)
    throw InputError("{}: the contents do not match their checksum: the file was damaged or changed; make it again",
                     where);
  if (const std::string& made = need(metadata, "tokenizer", where); made != hash_tokenizer(tokenizer))
    throw InputError(
        "{}: made with another tokenizer ({}, {} ids) than the model's ({}, {} ids); tokenize again with it", where,
        need(metadata, "tokenizer_kind", where), need(metadata, "vocab", where), tokenizer.kind(),
        tokenizer.vocab_size());
  return {TokenRecords(file->tensor("tokens"), file->tensor("parts"), file->tensor("records"), tokenizer.vocab_size(),
                       where),
          path.filename().string(), checksum, parse_json(need(metadata, "sources", where), where + ": sources")};
}

ShardsWritten write_shards(const std::filesystem::path& out, const std::vector<std::filesystem::path>& files,
                           const Tokenizer& tokenizer, const ShardOptions& options) {
  if (!is_shard_name(out))
    throw UsageError("[tokenize] '{}': a shard's name ends in .shard or .safetensors", out.string());
  TokenRecordsBuilder builder(tokenizer.vocab_size());
  ShardsWritten written;
  written.sources = {{"files", Json::array()}};
  for (const auto& file : files) {
    const TokenisedSource source =
        tokenise_file(file, tokenizer, options.read, [&](const RecordParts& parts) { builder.add(parts); });
    written.sources["files"].push_back(source.to_json());
  }
  const TokenRecords all = builder.finish();
  const std::vector<Choice> offered = choices_of(all, options.piece);
  const std::vector<Choice> chosen = choose(offered, options.total_bytes, options.seed);
  if (chosen.empty())
    throw InputError("[tokenize] nothing to write: {}",
                     offered.empty() ? "the files hold nothing to learn from"
                                     : "the first piece that was drawn is larger than --total-bytes");
  written.left_out = static_cast<int64_t>(offered.size() - chosen.size());
  if (options.piece > 0) written.sources["piece"] = options.piece;
  if (options.total_bytes > 0)
    written.sources["chosen"] = {{"seed", options.seed}, {"of", offered.size()}, {"left_out", written.left_out}};

  Splitter splitter(tokenizer.vocab_size(), options.split_bytes);
  for (const Choice& choice : chosen) {
    for (int64_t record = choice.record; record < choice.record + choice.records; ++record) {
      std::vector<std::vector<TokenId>> parts(static_cast<size_t>(all.parts_of(record)));
      if (parts.size() == 1)
        all.append(record, 0, choice.begin, choice.count, parts[0]);
      else
        for (size_t i = 0; i < parts.size(); ++i) parts[i] = all.part(record, static_cast<int64_t>(i));
      splitter.add({parts.begin(), parts.end()});
    }
  }
  const std::vector<TokenRecords> shards = splitter.finish();
  for (size_t i = 0; i < shards.size(); ++i) {
    const auto path = shard_name(out, i, shards.size());
    write_safetensors(path, tensors_of(shards[i]),
                      metadata_of(shards[i], tokenizer, written.sources, i, shards.size()));
    written.files.push_back(path);
    written.records += shards[i].size();
    written.tokens += shards[i].total_tokens();
    for (const auto& [name, tensor] : tensors_of(shards[i])) written.bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return written;
}

}  // namespace steno
