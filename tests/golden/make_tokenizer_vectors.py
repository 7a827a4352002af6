#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small tokenizers of every supported kind and the ids that the references give.

References: llama.cpp (llama-cpp-python) for *.gguf, the Python package tokenizers for *.json.
  python tests/golden/make_tokenizer_vectors.py STENO_DATA MODEL.gguf
STENO_DATA/models/tokenizers holds the published vocabularies; MODEL.gguf is the default model.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = Path(__file__).resolve().parents[1] / "data" / "tokenizers"

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n \n", "a\r\nb\rc\n", "Hello", " Hello", "  Hello", "Hello ", "Hello  ",
    "Hello world", "Hello,world! How's it? I'LL WE'RE y'all'd", "don't DON'T 'tis", "x=1;y+=2//3", "tab\there", "a  b   c    d",
    "1", "12", "123", "1234", "12345678", "3.14159e-10", "№ ½ ² Ⅷ ٣٤ ๓", "1a2b 3c", "café naïve Ünïcödé ÀÉÎ", "e\u0301 n\u0303 a\u030a\u0323",
    "ﬁ ﬂ Å Ω K ſ ẞ İ ı", "中文字符测试", "日本語のテキスト、カタカナ", "한국어 문장입니다", "\u1112\u1161\u11ab", "ภาษาไทยไม่มีช่องว่าง",
    "العربية من اليمين", "עברית", "हिन्दी में", "нещо на Български", "Ελληνικά", "👨‍👩‍👧‍👦 family", "🏳️‍🌈🇩🇪 👍🏽", "🚀🚀 (x) ✅",
    "a\u00a0b\u2003c\u3000d\u2028e\u0085f", "zero\u200bwidth\ufeffbom", "\u180emvs", "▁mark ▁ here▁", "<0x0A> <0xFF>", "\x00\x01\x7f",
    "<s>text</s> <unk>", "<|im_start|>user\nHi<|im_end|>\n", "a<|im_end|>b <|im_end|> c", "<|endoftext|><|endoftext|>", "  <|end|>  \n x",
    "<|im_start", "<<<|im_end|>>>", "Zebra zebras Zebra! aZebra Zebra", "left [L] right [R] both", "well-known - co-op --", "supercalifragilistic" * 12,
    "a" * 300, " " * 100 + "x", "\n" * 50, "ab" * 200, "!?" * 60, "é" * 80, "🦙" * 40, "word " * 60, "The quick brown fox jumps over the lazy dog. " * 4,
    "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n", "https://example.com/a?b=c&d=%20e#f", "O'Brien said: \u201cIt\u2019s 5\u20137 o\u2019clock\u2026\u201d",
]

CORPUS = [
    "The quick brown fox jumps over the lazy dog and the other dogs looked on.", "She sells sea shells by the sea shore; he said hello to the world.",
    "It was the best of times, it was the worst of times, it was the age of wisdom.", "don't won't I'll we're they've he'd it's 12 123 1234 2024",
    "In the beginning there was a word, and the word was with them that said words.", "café naïve résumé über größe señor", "中文 日本語 한국어 привет мир",
    "    indented code\n\treturn value  # comment\n\n", "hello hello world world text texts zebra well-known user family right left both",
] * 20

SPECIALS = ["<unk>", "<s>", "</s>"]


def tiny_spm():
    """Llama-2's way: the normaliser writes the marks, merges may cross words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    train(tokenizer, 700, SPECIALS + [f"<0x{i:02X}>" for i in range(256)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return only_specials(tokenizer)


def tiny_metaspace():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    train(tokenizer, 400, SPECIALS)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")])
    return tokenizer


def tiny_steps():
    """As many different steps as one byte-level tokenizer can have."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.StripAccents(),
                                                 normalizers.Replace(Regex("\\s{2,}"), "  ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Split("-", "merged_with_next"),
        pre_tokenizers.Split(Regex("the|o+"), "merged_with_previous"), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    train(tokenizer, 600, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], pre_tokenizers.ByteLevel.alphabet())
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken("Zebra", single_word=True), AddedToken("[L]", lstrip=True, normalized=False),
                          AddedToken("[R]", rstrip=True, normalized=False)])
    return tokenizer


def tiny_split():
    """A pattern of the file's own, with merges as texts of the old form; NFC."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    train(tokenizer, 600, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], pre_tokenizers.ByteLevel.alphabet())
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel()
    return tokenizer


def train(tokenizer, size, specials, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=list(alphabet), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)


def only_specials(tokenizer):
    """The trainer lists byte tokens as special ones; models do not."""
    tree = json.loads(tokenizer.to_str())
    tree["added_tokens"] = [t for t in tree["added_tokens"] if t["content"] in SPECIALS]
    return Tokenizer.from_str(json.dumps(tree))


def write_json(name, tokenizer, old_merges=False):
    tree = json.loads(tokenizer.to_str())
    if old_merges:
        tree["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in tree["model"]["merges"]]
    (OUT / name).write_text(json.dumps(tree, ensure_ascii=False, separators=(",", ":")) + "\n")
    return OUT / name


def write_gguf(name, tokenizer, pre):
    tree = json.loads(tokenizer.to_str())
    vocab = sorted(tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda entry: entry[1])
    special = {t["content"] for t in tree["added_tokens"]}
    writer = gguf.GGUFWriter(OUT / name, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types([3 if token in special else 1 for token, _ in vocab])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tree["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.token_to_id("<|im_start|>"))
    writer.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return OUT / name


def llama_cpp_cases(path):
    model = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)

    def ids(text, add, special):
        return model.tokenize(text.encode(), add_bos=add, special=special) if text or add else []
    return [{"text": t, "plain": ids(t, False, False), "special": ids(t, False, True), "added": ids(t, True, True)} for t in TEXTS]


def tokenizers_cases(path):
    plain, special = Tokenizer.from_file(str(path)), Tokenizer.from_file(str(path))
    plain.encode_special_tokens = True
    return [{"text": t, "plain": plain.encode(t, add_special_tokens=False).ids,
             "special": special.encode(t, add_special_tokens=False).ids, "added": special.encode(t).ids} for t in TEXTS]


def write_cases(name, cases):
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    (OUT / f"{name}.vectors.json").write_text(f"[\n{lines}\n]\n")


def main():
    data, model = Path(sys.argv[1]) / "models" / "tokenizers", Path(sys.argv[2])
    OUT.mkdir(parents=True, exist_ok=True)
    for name in ("ggml-vocab-gpt-2.gguf", "ggml-vocab-phi-3.gguf"):
        for end in ("", ".inp", ".out"):
            shutil.copyfile(data / (name + end), OUT / (name + end))
        write_cases(name, llama_cpp_cases(OUT / name))
    shutil.copyfile(data / "qwen3.tokenizer.json.zst", OUT / "qwen3.tokenizer.json.zst")
    write_cases("default-model", llama_cpp_cases(model))

    with tempfile.TemporaryDirectory() as scratch:
        qwen = Path(scratch) / "qwen3.json"
        qwen.write_bytes(subprocess.run(["zstd", "-dcq", OUT / "qwen3.tokenizer.json.zst"], check=True, capture_output=True).stdout)
        write_cases("qwen3.tokenizer.json.zst", tokenizers_cases(qwen))
    tiny = {"tiny-spm.json": tiny_spm(), "tiny-metaspace.json": tiny_metaspace(), "tiny-steps.json": tiny_steps(), "tiny-split.json": tiny_split()}
    for name, tokenizer in tiny.items():
        write_cases(name, tokenizers_cases(write_json(name, tokenizer, old_merges=name == "tiny-split.json")))
    for pre in ("smollm", "default", "llama-bpe", "qwen2"):
        name = f"tiny-{pre}.gguf"
        write_cases(name, llama_cpp_cases(write_gguf(name, tiny["tiny-split.json"], pre)))


if __name__ == "__main__":
    main()
