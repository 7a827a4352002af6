// The least that llama.cpp needs from process start to the first token, as a peer of `steno generate`:
//   llama_start MODEL PROMPT-FILE MAX-NEW-TOKENS THREADS REPACK(0|1) FLASH(0|1)
// Greedy; each piece is written as soon as it is known. Compiled by setup.sh against the library in .peers.
#include <llama.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const char* what) {
  std::cerr << "llama_start: " << what << "\n";
  std::exit(1);
}

void write_piece(const llama_vocab* vocab, llama_token token) {
  char piece[256];
  const int length = llama_token_to_piece(vocab, token, piece, sizeof(piece), 0, true);
  if (length < 0 || write(STDOUT_FILENO, piece, length) != length) {
    fail("cannot write the token");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    fail("usage: llama_start MODEL PROMPT-FILE MAX-NEW-TOKENS THREADS REPACK FLASH");
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::string prompt{std::istreambuf_iterator<char>(file), {}};
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();

  llama_model_params model_params = llama_model_default_params();
  model_params.use_extra_bufts = std::atoi(argv[5]) != 0;
  llama_model* model = llama_model_load_from_file(argv[1], model_params);
  if (model == nullptr) {
    fail("cannot load the model");
  }
  const llama_vocab* vocab = llama_model_get_vocab(model);
  std::vector<llama_token> ids(prompt.size() + 8);
  const int count = llama_tokenize(vocab, prompt.data(), prompt.size(), ids.data(), ids.size(), true, true);
  if (count <= 0) {
    fail("cannot tokenise the prompt");
  }
  ids.resize(count);

  const int new_tokens = std::atoi(argv[3]);
  llama_context_params context_params = llama_context_default_params();
  context_params.n_ctx = count + new_tokens;
  context_params.n_batch = context_params.n_ubatch = count;
  context_params.n_threads = context_params.n_threads_batch = std::atoi(argv[4]);
  context_params.flash_attn_type =
      std::atoi(argv[6]) != 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, context_params);
  llama_sampler* greedy = llama_sampler_init_greedy();
  if (context == nullptr) {
    fail("cannot make a context");
  }

  llama_batch batch = llama_batch_get_one(ids.data(), count);
  for (int i = 0; i < new_tokens; ++i) {
    if (llama_decode(context, batch) != 0) {
      fail("llama_decode failed");
    }
    ids[0] = llama_sampler_sample(greedy, context, -1);
    write_piece(vocab, ids[0]);
    batch = llama_batch_get_one(ids.data(), 1);
  }
  _exit(0);
}
