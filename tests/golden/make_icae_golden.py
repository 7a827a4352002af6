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
    curve                             20 losses per token of AdamW on texts 0 and 1, autoencoding, with the settings below

Everything is written out from the description of the method (arXiv 2307.06945); nothing is shared with steno.
"""

import shutil
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


class Icae(torch.nn.Module):
    def __init__(self, generator):
        super().__init__()
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

    def last_states(self, embeddings):
        return self.model.base_model.model.model(inputs_embeds=embeddings[None]).last_hidden_state[0]

    def encode(self, text):
        spans = [text[i : i + SPAN] for i in range(0, len(text), SPAN)]
        return torch.cat([self.last_states(torch.cat([self.embed(s), self.embeddings[:K]]))[-K:] for s in spans])

    def decode(self, embeddings):
        with self.model.disable_adapter():
            return self.model.base_model.model(inputs_embeds=embeddings[None]).logits[0]

    def task(self, index):
        return self.embeddings[K + index : K + index + 1]

    def sum_loss(self, embeddings, targets):
        """The last len(targets) tokens of the sequence are supervised."""
        logits = self.decode(embeddings)[-len(targets) - 1 : -1]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="sum")

    def autoencoding(self, text):
        target = text + [EOS]
        return self.sum_loss(torch.cat([self.encode(text), self.task(0), self.embed(target)]), target)

    def continuation(self, text, following):
        return self.sum_loss(torch.cat([self.encode(text), self.embed(following)]), following[LEAVE:])

    def instruction(self, text, prompt, answer):
        target = answer + [EOS]
        parts = [self.embed(BEFORE), self.encode(text), self.task(2), self.embed(prompt + AFTER), self.embed(target)]
        return self.sum_loss(torch.cat(parts), target)

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
