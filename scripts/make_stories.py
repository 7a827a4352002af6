"""Stories told by tests/data/stories260K itself, as training data for tests and small runs: nothing has to be fetched.

    make_stories.py COUNT SEED OUT.jsonl     (needs torch and transformers: make peers)

Sampled from BOS at temperature 0.8, top-k 40, at most 400 tokens; one record {"id", "text"} a line, in the order in which they were drawn.
Two runs with different seeds share no story but by chance; repeated ones are left out.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data" / "stories260K"
BATCH = 50


@torch.inference_mode()
def main(count, seed, out):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(FOLDER).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    bos, end = model.config.bos_token_id, {1, 2}
    seen = []
    while len(seen) < count:
        ids = model.generate(torch.full((BATCH, 1), bos), do_sample=True, temperature=0.8, top_k=40, max_new_tokens=400,
                             eos_token_id=list(end), pad_token_id=2)
        for row in ids.tolist():
            row = row[1:]
            stop = next((i for i, token in enumerate(row) if token in end), len(row))
            text = tokenizer.decode(row[:stop]).strip()
            if len(text) > 200 and text not in seen:
                seen.append(text)
        print(len(seen), file=sys.stderr)
    with open(out, "w", encoding="utf-8") as file:
        for i, text in enumerate(seen[:count]):
            file.write(json.dumps({"id": f"story-{seed}-{i}", "text": text}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
