"""The 16 prompts of the default model's reference results.

The ids are llama.cpp's: llama_tokenize(add_special=False, parse_special=True) on the vocabulary in the GGUF file. (What
transformers makes of a GGUF vocabulary adds a BOS that this model does not want.) The long ones are parts of works
whose authors' rights have expired everywhere: The Federalist Papers (1788), Disraeli's Coningsby (1844) and Sybil
(1845), Ainsworth's Auriol (1850), Jenkins' Ginx's Baby (1870).
"""

import json
import os
import subprocess
from pathlib import Path

import llama_cpp

CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"

CODE_PYTHON = '''def median(values):
    """Returns the middle value of a non-empty list of numbers."""
    ordered = sorted(values)
    middle = len(ordered) // 2
'''

CODE_CPP = """#include <algorithm>
#include <string>
#include <vector>

// Longest common prefix of all words; empty for an empty list.
std::string common_prefix(const std::vector<std::string>& words) {
  if (words.empty()) {
    return {};
  }
  std::string prefix = words.front();
  for (const auto& word : words) {
"""

LETTER = """Dear Mrs. Okafor,

thank you for the three samples of river water that reached us on the fourth of May. The first two were clear, with a pH
of 7.1 and 7.3. The third had been taken below the tannery, and it held more chromium than we have ever measured"""

SHORT = {
    "one_token": " The",
    "capital": "The capital of France is",
    "tale": "Once upon a time, in a village between two mountains, there lived a clockmaker who",
    "chat": CHAT.format("Name three things that a beekeeper needs, and say why."),
    "chat_system": "<|im_start|>system\nYou answer in one short sentence.<|im_end|>\n" + CHAT.format("Why is the sky blue?"),
    "python": CODE_PYTHON,
    "cpp": CODE_CPP,
    "unicode": "Grüße aus Köln! Der Fluß heißt Rhein; 東京 is the capital of 日本, and naïve café-goers say “à bientôt” 🙂.",
    "numbers": "3, 6, 9, 12, 15, 18, 21, 24,",
    "letter": LETTER,
}

# name: file, field and value that choose the record, first character, tokens
LONG = {
    "federalist_200": ("essays", "FEDERALIST No. 10", 0, 200),
    "auriol_512": ("books.eval", "eltec/ENG18500_Ainsworth", 20_000, 512),
    "federalist_512": ("essays", "FEDERALIST No. 51", 0, 512),
    "ginx_512": ("books.eval", "eltec/ENG18702_Jenkins", 30_000, 512),
    "coningsby_2048": ("books.eval", "eltec/ENG18440_Disraeli", 100_000, 2048),
    "sybil_2048": ("books.eval", "eltec/ENG18450_Disraeli", 250_000, 2048),
}


def record_text(folder, file, name):
    lines = subprocess.run(["zstd", "-dc", folder / f"{file}.jsonl.zst"], check=True, capture_output=True).stdout
    for line in lines.splitlines():
        record = json.loads(line)
        if record["id"] == name or record["title"].startswith(name + "."):
            return record["text"]
    raise SystemExit(f"{file}: no record {name}")


def make_prompts(model_path):
    folder = Path(os.environ.get("STENO_DATA") or exit("set STENO_DATA to the folder of the evaluation texts"))
    vocabulary = llama_cpp.Llama(str(model_path), vocab_only=True, verbose=False)
    encode = lambda text: vocabulary.tokenize(text.encode(), add_bos=False, special=True)
    prompts = {name: encode(text) for name, text in SHORT.items()}
    for name, (file, record, start, tokens) in LONG.items():
        text = record_text(folder, file, record)
        start = text.index("\n", start) if start else 0  # a paragraph's end
        prompts[name] = encode(text[start:].strip()[: 8 * tokens])[:tokens]
        assert len(prompts[name]) == tokens
    return prompts
