"""Golden numbers of AdamW with clipping by the norm of all gradients, by torch.optim. Needs torch:

    python tests/golden/make_adamw.py > tests/data/train/adamw.json
"""
import json

import torch


def numbers(tensor):
    return [float(x) for x in tensor.flatten()]


def main():
    torch.manual_seed(7)
    clip, eps, betas, decay = 2.0, 1e-6, (0.85, 0.97), 0.3
    decayed = torch.nn.Parameter(torch.randn(3, 4))
    free = torch.nn.Parameter(torch.randn(5))
    optimizer = torch.optim.AdamW([{"params": [decayed], "weight_decay": decay},
                                   {"params": [free], "weight_decay": 0.0}], lr=1.0, betas=betas, eps=eps)
    steps = []
    start = [numbers(decayed.detach()), numbers(free.detach())]
    for step in range(6):
        # Some steps are clipped and some are not.
        scale = (0.1, 3.0, 0.5, 8.0, 1e-3, 1.0)[step]
        decayed.grad, free.grad = torch.randn(3, 4) * scale, torch.randn(5) * scale
        gradients = [numbers(decayed.grad), numbers(free.grad)]
        norm = torch.nn.utils.clip_grad_norm_([decayed, free], clip)
        lr = 0.05 / (step + 1)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        steps.append({"lr": lr, "gradients": gradients, "norm": float(norm),
                      "values": [numbers(decayed.detach()), numbers(free.detach())]})
    print(json.dumps({"torch": torch.__version__, "clip_norm": clip, "eps": eps, "betas": betas, "weight_decay": decay,
                      "start": start, "steps": steps}, indent=1))


if __name__ == "__main__":
    main()
