"""A byte-level BPE vocabulary of 104 entries, as tokenizer.json and as GGUF metadata."""

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tiny_models import BOS, EOS, PAD, VOCAB

BYTES = ["Ġ", "Ċ"] + [chr(code) for code in range(33, 127)]  # space, newline, printable ASCII
MERGES = [("t", "h"), ("Ġ", "a"), ("th", "e"), ("i", "n"), ("Ġ", "the")]
SPECIAL = ["<s>", "</s>", "<pad>"]
TOKENS = BYTES + [left + right for left, right in MERGES] + SPECIAL
assert len(TOKENS) == VOCAB and TOKENS[BOS] == "<s>" and TOKENS[EOS] == "</s>" and TOKENS[PAD] == "<pad>"


def write_tokenizer_json(path):
    plain = TOKENS[: -len(SPECIAL)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(plain)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    tokenizer.save(str(path), pretty=False)


def add_to_gguf(writer):
    kinds = [gguf.TokenType.NORMAL] * (VOCAB - len(SPECIAL)) + [gguf.TokenType.CONTROL] * len(SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{left} {right}" for left, right in MERGES])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(False)
