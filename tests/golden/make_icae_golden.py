"""Makes tests/data/icae: ICAE by transformers and PEFT on the tiny model llama_untied, in f64, stored as f32.

    .peers/bin/python tests/golden/make_icae_golden.py

The folder holds an adapter as PEFT saves it (adapter_config.json, adapter_model.safetensors), and golden.safetensors:

    embeddings                        [k + 3, d] memory tokens, AE, LM, FT
    text.N                            token ids of three texts: one span, three spans, one token
    slots.N                           [spans * k, d] encoder output of each text, fixed spans
    logits.N                          decoder logits at [AE] and at every token of text N behind its slots
    next, prompt, answer              token ids for the continuation and the instruction
    loss.ae, loss.lm, loss.ft         sums of the token losses of text 1
    grad.ae.NAME, grad.lm.NAME, ...   their gradients
    enhanced.slots.N, enhanced.logits.N, enhanced.loss.ae ...     the same with the positions of arXiv 2409.14364
    curve                             20 losses per token of AdamW on texts 0 and 1, autoencoding, with the settings below

Everything is written out from the description of the method (arXiv 2307.06945); nothing is shared with steno.
"""

import shutil
from fractions import Fraction
from math import floor
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

DATA = Path(__file__).resolve().parent.parent / "data"
BASE = DATA / "tiny_models" / "llama_untied"
OUT = DATA / "icae"
K, RATIO = 3, 4
SPAN = K * RATIO
EOS, LEAVE = 102, 8
BEFORE, AFTER = [101, 40], [41, 42]
RATE, DECAY, STEPS, CLIP = 3e-3, 0.01, 20, 2.0


def slot_positions(first, tokens):
    """Of the slots of a span of `tokens` that begins at `first`: round(x + (c - 1) / 2 + j c), halves up."""
    c = Fraction(tokens, K)
    return [floor(first + (c - 1) / 2 + j * c + Fraction(1, 2)) for j in range(K)]


class Icae(torch.nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.enhanced = False
        base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float64, attn_implementation="eager").eval()
        options = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"])
        self.model = get_peft_model(base, options).eval()
        self.embeddings = torch.nn.Parameter(0.3 * torch.randn(K + 3, base.config.hidden_size, generator=generator, dtype=torch.float64))
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if "lora_" in name:
                    value.data = (0.08 * torch.randn(value.shape, generator=generator)).double()

    def embed(self, ids):
        return self.model.get_input_embeddings()(torch.as_tensor(ids, dtype=torch.long).reshape(-1))

    def last_states(self, embeddings, positions):
        ids = None if positions is None else torch.tensor([positions])
        return self.model.base_model.model.model(inputs_embeds=embeddings[None], position_ids=ids).last_hidden_state[0]

    def encode(self, text):
        slots = []
        for first in range(0, len(text), SPAN):
            span = text[first : first + SPAN]
            positions = None
            if self.enhanced:
                # Text counts from 1 through the whole document, as in the source.
                positions = list(range(first + 1, first + 1 + len(span))) + slot_positions(first + 1, len(span))
            slots.append(self.last_states(torch.cat([self.embed(span), self.embeddings[:K]]), positions)[-K:])
        return torch.cat(slots)

    def decode(self, embeddings, positions=None):
        ids = None if positions is None else torch.tensor([positions])
        with self.model.disable_adapter():
            return self.model.base_model.model(inputs_embeds=embeddings[None], position_ids=ids).logits[0]

    def positions(self, before, text, task, rest):
        """Of the decoder: `before` tokens, the slots of `text`, a task token at `task` (None: there is none), and `rest`
        tokens behind it."""
        if not self.enhanced:
            return None
        first = max(before, 1)
        slots = [p for i in range(0, len(text), SPAN) for p in slot_positions(first + i, len(text[i : i + SPAN]))]
        last = first + len(text) - 1
        own = [] if task is None else [0 if task == "ae" else last]
        begin = 1 if task == "ae" else last + 1
        return list(range(before)) + slots + own + list(range(begin, begin + rest))

    def task(self, index):
        return self.embeddings[K + index : K + index + 1]

    def sum_loss(self, embeddings, targets, positions):
        """The last len(targets) tokens of the sequence are supervised."""
        logits = self.decode(embeddings, positions)[-len(targets) - 1 : -1]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="sum")

    def autoencoding(self, text):
        target = text + [EOS]
        embeddings = torch.cat([self.encode(text), self.task(0), self.embed(target)])
        return self.sum_loss(embeddings, target, self.positions(0, text, "ae", len(target)))

    def continuation(self, text, following):
        embeddings = torch.cat([self.encode(text), self.embed(following)])
        return self.sum_loss(embeddings, following[LEAVE:], self.positions(0, text, None, len(following)))

    def instruction(self, text, prompt, answer):
        target = answer + [EOS]
        parts = [self.embed(BEFORE), self.encode(text), self.task(2), self.embed(prompt + AFTER), self.embed(target)]
        positions = self.positions(len(BEFORE), text, "ft", len(prompt + AFTER + target))
        return self.sum_loss(torch.cat(parts), target, positions)

    def trainable(self):
        found = {}
        for name, value in self.model.named_parameters():
            if "lora_" in name:
                found[name.replace(".default", "")] = value
        found["embeddings"] = self.embeddings
        return found


def main():
    generator = torch.Generator().manual_seed(5)
    model = Icae(generator)
    # Numbers that f32 can hold, so that both sides start from the same ones.
    with torch.no_grad():
        for value in model.trainable().values():
            value.copy_(value.to(torch.float32))
    for name, value in model.named_parameters():
        value.requires_grad_("lora_" in name or name == "embeddings")
    draw = lambda count: torch.randint(0, 100, (count,), generator=generator).tolist()
    texts = [draw(SPAN), draw(2 * SPAN + 5), draw(1)]
    following, prompt, answer = draw(20), draw(5), draw(6)

    shutil.rmtree(OUT, ignore_errors=True)
    config = model.model.peft_config["default"]
    config.base_model_name_or_path = "tiny_models/llama_untied"
    config.target_modules = sorted(config.target_modules)
    model.model.save_pretrained(OUT, save_embedding_layers=False)
    file = OUT / "adapter_model.safetensors"
    save_file({name: value.float() for name, value in load_file(file).items()}, file, {"format": "pt"})
    (OUT / "README.md").unlink(missing_ok=True)

    golden = {"embeddings": model.embeddings.detach().clone()}
    for name, ids in [("next", following), ("prompt", prompt), ("answer", answer)]:
        golden[name] = torch.tensor(ids)
    with torch.no_grad():
        for i, text in enumerate(texts):
            slots = model.encode(text)
            golden[f"text.{i}"] = torch.tensor(text)
            golden[f"slots.{i}"] = slots
            golden[f"logits.{i}"] = model.decode(torch.cat([slots, model.task(0), model.embed(text)]))[len(slots) :]
    losses = {
        "ae": lambda: model.autoencoding(texts[1]),
        "lm": lambda: model.continuation(texts[1], following),
        "ft": lambda: model.instruction(texts[1], prompt, answer),
    }
    for objective, compute in losses.items():
        model.zero_grad(set_to_none=True)
        loss = compute()
        loss.backward()
        golden[f"loss.{objective}"] = loss.detach()[None]
        for name, value in model.trainable().items():
            golden[f"grad.{objective}.{name}"] = value.grad.clone()

    model.enhanced = True
    with torch.no_grad():
        for i, text in enumerate(texts):
            slots = model.encode(text)
            golden[f"enhanced.slots.{i}"] = slots
            embeddings = torch.cat([slots, model.task(0), model.embed(text)])
            logits = model.decode(embeddings, model.positions(0, text, "ae", len(text)))
            golden[f"enhanced.logits.{i}"] = logits[len(slots) :]
        for objective, compute in losses.items():
            golden[f"enhanced.loss.{objective}"] = compute()[None]
    model.enhanced = False

    # The table has no weight decay, as any embedding.
    named = model.trainable()
    lora = [value for name, value in named.items() if name != "embeddings"]
    optimiser = torch.optim.AdamW(
        [{"params": lora, "weight_decay": DECAY}, {"params": [model.embeddings], "weight_decay": 0.0}], lr=RATE)
    curve = []
    for _ in range(STEPS):
        optimiser.zero_grad(set_to_none=True)
        tokens = sum(len(text) + 1 for text in texts[:2])
        loss = sum(model.autoencoding(text) for text in texts[:2]) / tokens
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(named.values()), CLIP)
        optimiser.step()
        curve.append(loss.item())
    golden["curve"] = torch.tensor(curve, dtype=torch.float64)
    assert curve[-1] < 0.9 * curve[0], curve
    stored = {name: value.contiguous() if name == "curve" or not value.is_floating_point() else value.float().contiguous()
              for name, value in golden.items()}
    save_file(stored, OUT / "golden.safetensors")
    for file in OUT.iterdir():
        file.chmod(0o644)
    print(f"losses {[round(golden[f'loss.{o}'].item(), 4) for o in losses]}, curve {curve[0]:.4f} -> {curve[-1]:.4f}")


if __name__ == "__main__":
    main()
