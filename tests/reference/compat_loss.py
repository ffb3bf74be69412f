#!/usr/bin/env python3
"""The reference's NCE loss in bf16 (rules N1, N2, N4, N5, P1), in plain PyTorch: writes the fixture of the compat loss.

Usage: compat_loss.py OUT.safetensors   (an environment with torch and safetensors; scripts/fidelity_env.sh has one)
"""

import math
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

ROWS, NEGATIVES, HIDDEN = 6, 11, 16


def nce_logits(user, target, negatives, logit_scale, threshold=0.99):
    with torch.no_grad():
        logit_scale.clamp_(0, math.log(100))
    user = user / user.norm(dim=-1, keepdim=True)
    target = target / target.norm(dim=-1, keepdim=True)
    negatives = negatives / negatives.norm(dim=-1, keepdim=True)
    positive = F.cosine_similarity(user, target, dim=-1).unsqueeze(-1)
    logits = user @ negatives.T
    logits = logits.masked_fill((target @ negatives.T).detach() > threshold, torch.finfo(logits.dtype).min)
    return torch.cat([positive, logits], dim=-1) * logit_scale.exp()


def nce_loss(user, target, negatives, logit_scale):
    logits = nce_logits(user, target, negatives, logit_scale)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)), logits


def main():
    torch.manual_seed(20)
    leaves = {
        "user": torch.randn(ROWS, HIDDEN),
        "target": torch.randn(ROWS, HIDDEN),
        "negatives": torch.randn(NEGATIVES, HIDDEN),
        "logit_scale": torch.tensor(math.log(1 / 0.07)),
    }
    leaves["negatives"][3] = 2 * leaves["target"][1]
    leaves["user"] += 0.5 * leaves["target"]
    leaves = {name: t.to(torch.bfloat16).requires_grad_() for name, t in leaves.items()}
    loss, logits = nce_loss(**leaves)
    loss.backward()
    tensors = {name: t.detach() for name, t in leaves.items()}
    tensors |= {"grad." + name: t.grad for name, t in leaves.items()}
    tensors |= {"loss": loss.detach(), "logits": logits.detach()}
    save_file({name: t.contiguous() for name, t in tensors.items()}, sys.argv[1])


if __name__ == "__main__":
    main()
