#include "io/merges.h"

#include "base/error.h"
#include "io/shown.h"

namespace steno {

void add_merge(MergeTable& merges, const Vocabulary& vocabulary, std::string_view left, std::string_view right,
               size_t rank, std::string& joined, const std::string& where) {
  if (left.empty() || right.empty()) throw InputError("{}: merge {} has an empty part", where, rank);
  joined.assign(left).append(right);
  const auto id_of = [&](std::string_view part) {
    const TokenId id = vocabulary.find(part);
    if (id == kNoToken)
      throw InputError("{}: merge {} ('{}' '{}') names '{}', which is not in the vocabulary", where, rank, shown(left),
                       shown(right), shown(part));
    return id;
  };
  const TokenId left_id = id_of(left), right_id = id_of(right), id = id_of(joined);
  if (!merges.insert(left_id, right_id, {static_cast<uint32_t>(rank), id}))
    throw InputError("{}: merge {} ('{}' '{}') is there twice", where, rank, shown(left), shown(right));
}

}  // namespace steno
