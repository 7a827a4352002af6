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

    def __init__(self, path, threads=2, context=4096, ubatch=512, repack=True, flash=True, sequences=1, unified=False):
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.use_extra_bufts = repack
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = context
        self.batch = max(ubatch, 2048)
        options.n_batch, options.n_ubatch = self.batch, ubatch
        options.n_seq_max, options.kv_unified = sequences, unified
        options.flash_attn_type = int(flash)
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def clear(self):
        llama_cpp.llama_memory_clear(self.memory, True)

    def decode(self, ids):
        """Runs `ids` behind what was run before; the logits of the last one are ready when this returns."""
        for first in range(0, len(ids), self.batch):
            part = ids[first:first + self.batch]
            array = (llama_cpp.llama_token * len(part))(*part)
            if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(part))) != 0:
                raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)

    def read(self, sequence, ids):
        for first in range(0, len(ids), self.batch):
            part = ids[first:first + self.batch]
            batch = llama_cpp.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, first + i, 1
                batch.seq_id[i][0], batch.logits[i] = sequence, first + i == len(ids) - 1
            if llama_cpp.llama_decode(self.context, batch) != 0:
                raise SystemExit("llama_decode failed")
            llama_cpp.llama_batch_free(batch)

    def decode_batch(self, tokens, positions):
        """One token of each sequence 0, 1, ...; all logits are ready when this returns."""
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, positions[i], 1
            batch.seq_id[i][0], batch.logits[i] = i, 1
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)
        llama_cpp.llama_batch_free(batch)

    def parallel_rate(self, sequences, after, tokens):
        """Tokens per second of all sequences together, decoded in step after `after` tokens of a prompt each."""
        self.clear()
        for sequence in range(sequences):
            self.read(sequence, prompt(after))
        next_tokens = [100 + s for s in range(sequences)]  # sequences part here
        start = time.perf_counter()
        for step in range(tokens):
            self.decode_batch(next_tokens, [after + step] * sequences)
            logits = [np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, s), (self.vocab,))
                      for s in range(sequences)]
            next_tokens = [int(row.argmax()) for row in logits]
        return sequences * tokens / (time.perf_counter() - start)

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
