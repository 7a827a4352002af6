#include "cli/logprobs.h"

#include <fmt/core.h>

#include "base/utf8.h"

namespace steno {
namespace {

std::string shown(const std::string& piece) {
  if (find_invalid_utf8(piece) == std::string_view::npos) return piece;
  std::string text = "bytes:";
  for (const char c : piece) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

class Positions {
 public:
  Positions(const Tokenizer& tokenizer, int64_t best) : tokenizer_(tokenizer), best_(static_cast<size_t>(best)) {}

  // `probs`: nullptr where nothing predicts the token.
  void add(TokenId id, const PositionLogprobs* probs) {
    const std::string piece = tokenizer_.piece(id);
    tokens_.push_back(shown(piece));
    ids_.push_back(id);
    offsets_.push_back(offset_);
    offset_ += piece.size();
    chosen_.push_back(probs ? Json(probs->chosen.logprob) : Json());
    if (!probs) return top_.push_back(Json());
    Json best = Json::array();
    for (const TokenLogprob& one : std::span(probs->best).first(std::min(best_, probs->best.size())))
      best.push_back({{"token", shown(tokenizer_.piece(one.id))}, {"id", one.id}, {"logprob", one.logprob}});
    top_.push_back(std::move(best));
  }

  Json json() && {
    return {{"tokens", std::move(tokens_)},
            {"token_ids", std::move(ids_)},
            {"token_logprobs", std::move(chosen_)},
            {"top_logprobs", std::move(top_)},
            {"text_offset", std::move(offsets_)}};
  }

 private:
  const Tokenizer& tokenizer_;
  size_t best_, offset_ = 0;
  Json tokens_ = Json::array(), ids_ = Json::array(), chosen_ = Json::array(), top_ = Json::array(),
       offsets_ = Json::array();
};

}  // namespace

Json logprobs_json(const Tokenizer& tokenizer, const std::vector<TokenId>& prompt, const Generated& generated,
                   int64_t best) {
  Positions positions(tokenizer, best);
  // Aligned at the end, since nothing predicts the first token.
  const size_t without = prompt.size() - std::min(prompt.size(), generated.prompt_logprobs.size());
  for (size_t i = 0; i < prompt.size(); ++i)
    positions.add(prompt[i], i < without ? nullptr : &generated.prompt_logprobs[i - without]);
  for (const PositionLogprobs& probs : generated.logprobs) positions.add(probs.chosen.id, &probs);
  return std::move(positions).json();
}

}  // namespace steno
