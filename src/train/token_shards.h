// Tokens on the disk: what a tokenizer made of training data, memory-mapped by the runs that learn from it.
//
// A shard is a safetensors file. Tensors: "tokens", "parts", "records" (train/token_records.h). Metadata, all texts:
//   format      "steno-tokens/1"
//   tokenizer   hash_tokenizer of the tokenizer; tokenizer_kind, vocab for people
//   sources     JSON: what was read (TokenisedSource::to_json, with the files' content hashes) and how it was chosen
//   shard       "2 of 4"
//   checksum    content_checksum over everything else
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"
#include "train/token_records.h"
#include "train/tokenise_records.h"

namespace steno {

struct TokenShard {
  TokenRecords records;
  std::string name, checksum;
  nlohmann::json sources;
};

// NAME.shard and NAME.safetensors.
bool is_shard_name(const std::filesystem::path& path);

// Reads the whole file once to verify the checksum (XXH3, at the speed of the disk); afterwards tokens are read where
// they lie. Throws InputError: not a shard, another format version, made with another tokenizer, cut off or changed.
TokenShard open_shard(const std::filesystem::path& path, const Tokenizer& tokenizer);

struct ShardOptions {
  int64_t piece = 0;        // tokens: texts are cut into pieces of at most so many (0: kept whole)
  int64_t total_bytes = 0;  // a random choice of pieces, and of questions by context, that takes no more (0: all)
  int64_t split_bytes = 0;  // several shards of at most so many bytes, headers aside (0: one)
  uint64_t seed = 0;        // of the choice
  ReadOptions read;
};

struct ShardsWritten {
  std::vector<std::filesystem::path> files;
  Json sources;                                // as in the metadata
  int64_t records = 0, tokens = 0, bytes = 0;  // bytes of the tables
  int64_t left_out = 0;                        // pieces and questions that were not chosen
};

// Tokenises files (anything that tokenise_file reads) and writes OUT, or where split OUT's name with "-00002-of-00004"
// before its extension, each atomically. All tokens are held in memory before anything is written. Throws InputError
// (bad data, a record larger than split_bytes, nothing chosen), UsageError (OUT is not named like a shard),
// ResourceError, Interrupted.
ShardsWritten write_shards(const std::filesystem::path& out, const std::vector<std::filesystem::path>& files,
                           const Tokenizer& tokenizer, const ShardOptions& options);

}  // namespace steno
