"""The part of llama.cpp's interface that the measurements need, without the conveniences that would cost time."""

import ctypes
import time

import llama_cpp
import numpy as np


@llama_cpp.llama_log_callback
def _silent(level, text, data):
    pass


class Session:
    """One model with one context.

    repack: let llama.cpp store the weights in the form that suits the processor best.
    flash: its fused attention; on a CPU it helps long prompts and may hurt single tokens.
    """

    def __init__(self, path, threads=2, context=4096, ubatch=512, repack=True, flash=True):
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.use_extra_bufts = repack
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = context
        options.n_batch, options.n_ubatch = max(ubatch, 2048), ubatch
        options.flash_attn_type = int(flash)
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def clear(self):
        llama_cpp.llama_memory_clear(self.memory, True)

    def decode(self, ids):
        """Runs `ids` behind what was run before; the logits of the last one are ready when this returns."""
        array = (llama_cpp.llama_token * len(ids))(*ids)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(ids))) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)

    def best(self):
        return int(np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, -1), (self.vocab,)).argmax())

    def prefill_rate(self, tokens):
        self.clear()
        ids = prompt(tokens)
        start = time.perf_counter()
        self.decode(ids)
        return tokens / (time.perf_counter() - start)

    def decode_rate(self, after, tokens):
        self.clear()
        self.decode(prompt(after))
        token = self.best()
        start = time.perf_counter()
        for _ in range(tokens):
            self.decode([token])
            token = self.best()
        return tokens / (time.perf_counter() - start)

    def close(self):
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)


def prompt(tokens):
    """Ids of no meaning, as spread over the vocabulary as those of a text; 49,000 is below every vocabulary measured."""
    return [(7919 * i) % 49000 for i in range(1, tokens + 1)]
