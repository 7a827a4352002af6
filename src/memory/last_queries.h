// How much the newest tokens attend to every slot of a bank, asked when memory is to be cut.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "memory/bank.h"
#include "model/decoder.h"

namespace steno {

// Where rows stand, [tables][rows]: positions, or ranks among the slots of a table.
using Places = std::vector<std::vector<int64_t>>;

struct LastQueries {
  std::vector<at::Tensor> queries;  // [layers] of [1, H, count, d_h]
  int64_t count = 0;
  int64_t first_place = 0;  // of the first query; the others follow
  int64_t fresh = 0;        // the newest `fresh` tokens stand in the last rows of every table, in order
  bool rotated = true;      // otherwise they are turned to their places here
};

// [layers] of [1, H, S] f32: sums over the queries of the probabilities that each gives to the rows it may read. `rows`
// are those that the newest chunk was read with, keys rotated. `ranks`: of the rows before the fresh ones, whose ranks
// go on from there; nullptr: rows stand at their positions. `rope_length` as in Input.
std::vector<at::Tensor> received_from(const LastQueries& last, const Decoder& decoder, const Bank& bank,
                                      const std::vector<LayerRows>& rows, const Places* ranks, int64_t rope_length);

}  // namespace steno
