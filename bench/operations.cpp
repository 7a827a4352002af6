// Single operations at the shapes of the default model (d = 576, d_ff = 1536, V = 49152, 9 heads over 3, d_h = 64):
//
//   build/release/bench/steno_operations --benchmark_filter=attend
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "io/gguf.h"
#include "model/attention.h"
#include "model/linear.h"
#include "model/rope.h"

namespace {

using namespace steno;

// A weight of random blocks with sensible scales: block headers of f16 0.01, numbers as they come.
LinearWeight random_blocks(GgmlType type, int64_t out, int64_t in) {
  const int64_t bytes = ggml_bytes(type, out * in), block = ggml_traits(type).block_bytes;
  auto data = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes));
  Random random(1);
  for (std::byte& b : *data) b = static_cast<std::byte>(random.next());
  constexpr uint16_t kScale = 0x211F;  // 0.01 in f16
  for (int64_t at = 0; at < bytes; at += block) {
    for (int64_t i = 0; i < (type == GgmlType::Q4_1 ? 4 : 2); i += 2) std::memcpy(data->data() + at + i, &kScale, 2);
  }
  return LinearWeight(type, out, in, data->data(), data);
}

// The few-row product that decoding uses (rows = 1) and the scratch product of long chunks.
void product(benchmark::State& state, GgmlType type, int64_t out, int64_t in) {
  const LinearWeight w = random_blocks(type, out, in);
  const at::Tensor x = at::randn({state.range(0), in});
  for (auto _ : state) benchmark::DoNotOptimize(linear(x, w, at::kBFloat16));
  state.SetBytesProcessed(state.iterations() * w.bytes());
}
BENCHMARK_CAPTURE(product, gate_q4_1, GgmlType::Q4_1, 1536, 576)->Arg(1)->Arg(8)->Arg(24)->Arg(512)->UseRealTime();
BENCHMARK_CAPTURE(product, down_q4_1, GgmlType::Q4_1, 576, 1536)->Arg(1)->Arg(512)->UseRealTime();
BENCHMARK_CAPTURE(product, head_q8_0, GgmlType::Q8_0, 49152, 576)->Arg(1)->UseRealTime();

AttentionInput attention(int64_t queries, int64_t rows, at::ScalarType type) {
  AttentionInput in;
  in.q = at::randn({1, 9, queries, 64}).to(queries == 1 ? at::kFloat : type);
  in.k = at::randn({1, 3, rows, 64}).to(type);
  in.v = at::randn({1, 3, rows, 64}).to(type);
  in.scale = 0.125;
  return in;
}
void attend_one(benchmark::State& state, at::ScalarType type) {
  const AttentionInput in = attention(1, state.range(0), type);
  for (auto _ : state) benchmark::DoNotOptimize(attend(in));
}
BENCHMARK_CAPTURE(attend_one, bf16, at::kBFloat16)->Arg(512)->Arg(2048)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(attend_one, f32, at::kFloat)->Arg(512)->Arg(2048)->UseRealTime();
void attend_chunk(benchmark::State& state) {
  const AttentionInput in = attention(512, state.range(0), at::kBFloat16);
  for (auto _ : state) benchmark::DoNotOptimize(attend(in));
}
BENCHMARK(attend_chunk)->Arg(512)->Arg(2048)->Arg(8192)->UseRealTime();

void rotate_chunk(benchmark::State& state) {
  const RotaryTable table = rotary_table({.theta = 1e5}, 64, at::arange(state.range(0)).unsqueeze(0));
  const at::Tensor x = at::randn({1, 9, state.range(0), 64});
  for (auto _ : state) benchmark::DoNotOptimize(rotate(x, table));
}
BENCHMARK(rotate_chunk)->Arg(1)->Arg(512)->UseRealTime();

void dequantise(benchmark::State& state, GgmlType type) {
  const LinearWeight w = random_blocks(type, 1536, 576);
  for (auto _ : state) benchmark::DoNotOptimize(w.dense(at::kBFloat16));
  state.SetItemsProcessed(state.iterations() * w.in() * w.out());
}
BENCHMARK_CAPTURE(dequantise, q4_1, GgmlType::Q4_1)->UseRealTime();
BENCHMARK_CAPTURE(dequantise, q8_0, GgmlType::Q8_0)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
