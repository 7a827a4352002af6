// What a decoder-only model is made of, as numbers. Filled from GGUF metadata or a Hugging Face config.json.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace steno {

class GgufFile;

// Which two of the d_h values of a head turn together.
enum class RopeLayout {
  half,         // (i, i + d_h/2): Hugging Face's rotate_half, and GGUF of most families
  interleaved,  // (2i, 2i + 1): GGUF of the llama family, whose converter permutes q and k
};
enum class RopeScaling { none, linear, dynamic, yarn, llama3 };

struct RopeConfig {
  double theta = 10000;
  RopeLayout layout = RopeLayout::half;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;
  int64_t original_max_positions = 0;                // dynamic, yarn, llama3
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn (arXiv 2309.00071, section 3.2)
  double attention_factor = 0;                       // yarn; 0: 0.1 ln(factor) + 1
  bool truncate = true;                              // yarn: correction range rounded to whole dimensions
  std::vector<float> freq_factors;                   // [d_h/2] divisors of the frequencies (GGUF rope_freqs.weight)
};

enum class Activation { silu, gelu_tanh };

struct LayerKind {
  int64_t window = 0;       // a query reads keys at most window - 1 positions back; 0: no limit
  bool local_rope = false;  // rotates with ModelConfig::local_rope (Gemma 3's sliding layers)
};

struct ModelConfig {
  std::string family;  // "llama", "mistral", "qwen2", "qwen3", "gemma3", "phi3"
  std::string name;    // the model's own name, for people
  int64_t layers = 0, d_model = 0, heads = 0, kv_heads = 0, d_h = 0, d_ff = 0, vocab = 0;
  int64_t max_positions = 0;  // trained positions
  double norm_eps = 1e-5;
  double attention_scale = 0;  // 1/sqrt(d_h) unless the family says otherwise
  double embedding_scale = 1;  // Gemma: sqrt(d_model)
  Activation activation = Activation::silu;
  bool tied_head = false;
  bool qk_norm = false;        // RMSNorm over d_h on queries and keys before the rotation (Qwen3, Gemma 3)
  bool sandwich_norm = false;  // a norm after attention and after the MLP too (Gemma 3)
  bool norm_plus_one = false;  // stored norm weights are w - 1 (Gemma's safetensors)
  RopeConfig rope, local_rope;
  std::vector<LayerKind> kinds;  // [layers]

  // Bytes of one slot (key and value of one token, all layers) at `element_bytes` per number.
  int64_t slot_bytes(int64_t element_bytes) const { return 2 * layers * kv_heads * d_h * element_bytes; }
};

// Throw InputError that names the file, the key and what is supported.
ModelConfig config_from_gguf(const GgufFile& file);
ModelConfig config_from_hf(const std::filesystem::path& config_json);

}  // namespace steno
