// Conversations of many turns, for steno_bench.
#pragma once
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/loader.h"

namespace steno {

// The first `count` utterances of a file of dialogues, as the turns of one conversation in ChatML, user and assistant
// by turns. Throws InputError when the file holds fewer.
std::vector<std::vector<TokenId>> dialogue_turns(const Tokenizer& tokenizer, const std::filesystem::path& data,
                                                 int64_t count);

// All turns through one stream: seconds per token and RSS along the way, in steps of a hundredth; and the cost of the
// same turns for a copy that was taken after the first tenth and for the stream at its end, measured in turns.
nlohmann::json dialogue_curve(const std::shared_ptr<const Decoder>& decoder, const std::string& method, int64_t budget,
                              const std::vector<std::vector<TokenId>>& turns);

// Seconds and bytes of one turn (reading it and 16 tokens of answer) after 10, 50, 100, 500, 1,000, ... turns: by a
// stream that goes on, by `dense` that reads the whole history again (cache_policies, section 9: R1), and by `dense`
// that has it (prefix cache).
nlohmann::json turn_costs(const std::shared_ptr<const Decoder>& decoder, const std::string& method, int64_t budget,
                          const std::vector<std::vector<TokenId>>& turns, int64_t repeats);

}  // namespace steno
