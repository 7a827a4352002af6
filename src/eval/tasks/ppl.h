// Perplexity of documents and dialogues (evaluation.md, section 1): what the harness's own task of that name is made
// of, and what its tests look at.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "eval/task.h"

namespace steno {

// A text as it is scored.
struct ScoredText {
  std::vector<TokenId> ids;
  std::vector<int64_t> utterance_ends;  // ascending numbers of tokens; none for documents
  int64_t first_scored = 1;             // index of the first token that is scored
  int64_t cut_tokens = 0;               // tokens that --set length left out: not read, not scored
  // Tokens with which the second session and those after it begin; dialogues that were joined are sessions too.
  std::vector<int64_t> session_starts = {};
  // Tokens with which dialogues begin that were joined to the first: utterances are counted anew from there.
  std::vector<int64_t> joined_at = {};
};

// Tokens that end an utterance.
struct UtteranceEnd {
  std::string name;  // for the run record
  std::vector<TokenId> ids;
};

struct PplParams {
  int64_t length = 8192;
  std::string eou = "newline";
  bool speakers = false;
  bool bos = true;
  int64_t join = 0;
  int64_t context = 0;

  template <class F>
  void visit(F&& f) {
    f("length", length,
      "tokens read of each text (before dialogues are joined); what is left is counted as not scored; 0: the whole "
      "text");
    f("eou", eou, "what ends an utterance: newline, end-of-turn (the tokenizer's token), or none");
    f("speakers", speakers, "put 'SPEAKER: ' before an utterance");
    f("bos", bos, "begin with BOS where the vocabulary has one");
    f("join", join,
      "dialogues are read one behind the other, without a reset, until there are so many tokens; 0: each alone");
    f("context", context,
      "tokens at the beginning of each text that are read first and not scored, nor is the token after them; methods "
      "that write slots write them for these alone");
  }
};

// Throws UsageError.
UtteranceEnd utterance_end(const Tokenizer& tokenizer, const std::string& eou);
// BOS, then the text. All after BOS is scored; without BOS all after the first token, which nothing predicts.
ScoredText scored_document(const Tokenizer& tokenizer, const std::string& text, const PplParams& params);
// BOS, then the tokens of every utterance, encoded by itself, each with the end of utterance behind it. Neither BOS nor
// the first utterance with its end are scored.
ScoredText scored_dialogue(const Tokenizer& tokenizer, const DialogueRecord& dialogue, const UtteranceEnd& end,
                           const PplParams& params);

// Appends a dialogue (without BOS) as a session of its own; all of it is scored.
void join_dialogue(ScoredText& text, const ScoredText& more);

// The keys of an item's line: "nll" (sum, nats), "tokens", "chars", "nll_eou", "tokens_eou" (those of ends of
// utterances alone), "cut_tokens", "by_position" and "by_utterance" ([[first of the bin, nll, tokens], ...]), "scores".
// Where there are sessions: "session_starts" ([nll, tokens] of the first utterances of all sessions but the first), and
// "by_session" ([[number from 1, nll, tokens], ...]) unless dialogues were joined. Where `step` > 0: "running"
// ([[tokens read, nll, tokens], ...]: sums over all scored so far, every `step` tokens).
Json ppl_line(const ScoredText& text, const UtteranceEnd& end, const std::vector<double>& nll,
              const Tokenizer& tokenizer, int64_t step = 0);
// "ppl" (micro), "ppl_macro", "bits_per_char", "ppl_without_eou" where there are ends of utterances, and
// "ppl_session_starts" where there are sessions.
Metrics ppl_metrics(const Lines& lines);

// Bins by absolute position begin at 0, 256, 512, 1024, 2048, ...; by utterance (counted from 1) at 1, 6, 11, ...
int64_t position_bin(int64_t position);
int64_t utterance_bin(int64_t utterance);
// Tokens between two points of a running curve over texts of at most `longest` tokens: 256, 512, 1024, ...; 64 points
// or fewer.
int64_t running_step(int64_t longest);

}  // namespace steno
