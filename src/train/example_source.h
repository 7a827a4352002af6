// Training data as examples with a fixed place in a fixed order: example number n of a run is a function of the files,
// the configuration, the seed and n. That a run can be resumed anywhere, and that ranks share the work without overlap,
// follows from it: a rank asks for its own numbers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"
#include "train/example.h"

namespace steno {

class Tokenizer;

// Immutable; safe from any number of threads.
class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  // Examples per epoch, at least one.
  virtual int64_t size() const = 0;
  // Sample number `sample` of the run: the epoch is sample / size(), the place in it is drawn by a permutation of
  // (seed, epoch) (train/sample_order.h). Every example comes once per epoch. Example::sample is `sample`.
  virtual Example at(uint64_t sample, uint64_t seed) const = 0;
  // What was read, cut, joined and left out, for logs and provenance; "identity" in it is a hash of all that decides
  // which examples come (file contents, configuration, tokenizer), for a resumed run to compare.
  virtual Json summary() const { return Json::object(); }
};

struct DataConfig {
  int64_t piece = 0;       // tokens
  int64_t packing = 0;     // tokens
  int64_t min_tokens = 1;  // of an example, all parts together
  int64_t max_tokens = 0;  // of a question-answer record
  std::string answer = "first";
  bool skip_bad = false;

  template <class F>
  void visit(F&& f) {
    f("piece", piece, "cut longer texts into pieces of at most so many tokens (0: leave them whole)");
    f("packing", packing, "join consecutive texts, with EOS between, up to so many tokens (0: do not)");
    f("min_tokens", min_tokens, "leave out examples of fewer tokens");
    f("max_tokens", max_tokens, "leave out question-answer records of more tokens (0: keep all)");
    f("answer", answer, "which of several accepted answers is learned: first, or random (another one each epoch)");
    f("skip_bad", skip_bad, "count records that cannot be used and go on instead of stopping at the first");
  }
};

// Reads the files in the given order:
//   NAME.jsonl[.zst]  records as io/records.h reads them. Documents and dialogues become texts (one part; a dialogue is
//                     one line for each utterance, "speaker: text"), questions become three parts each: context,
//                     question, answer. Questions without any answer are counted and left out.
//   NAME.shard, NAME.safetensors   tokens made by `steno tokenize --shards` (train/token_shards.h), memory-mapped
//   anything else     one text
// Files other than shards are tokenised at once and held as token ids, two bytes each for vocabularies up to 65,536.
// Throws InputError that names file and line; UsageError for a configuration that cannot be; InputError when nothing is
// left to learn from.
std::unique_ptr<const ExampleSource> open_examples(const std::vector<std::filesystem::path>& files,
                                                   std::shared_ptr<const Tokenizer> tokenizer,
                                                   const DataConfig& config);

}  // namespace steno
