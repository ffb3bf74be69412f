"""Writes a folder of reference numbers for pixelrec-golden (docs/fidelity.md, "Checking any model and data") with the plain PyTorch
reference: a model that the caller built, data that lie in the folder."""

import json
import math

import numpy as np
import torch
from safetensors.torch import save_file

import hllm_reference as reference

LEARNING_RATE, WARMUP_RATIO, WEIGHT_DECAY, MAX_GRAD_NORM = 1e-4, 0.1, 0.01, 1.0  # fixed by the format


def draw_batch(corpus, length, users, rng):
    """Half short and half full chunks, a negative of one row planted as the target of another (N4). -> Batch."""
    chunks = corpus.training_chunks(length)
    short = [chunk for chunk in chunks if len(chunk) < length]
    full = [chunk for chunk in chunks if len(chunk) == length]
    rows = [pool[i] for pool, count in ((short, users // 2), (full, users - users // 2)) for i in rng.choice(len(pool), count, replace=False)]
    batch = reference.Batch.draw(rows, length, corpus.item_count, rng)
    batch.negatives[1, 0] = batch.positives[-1, -1]
    return batch


def choose_items(corpus, count, must, rng):
    """Those in `must`, the longest ones, then random ones."""
    longest = sorted(range(1, corpus.item_count + 1), key=lambda item: -len(corpus.tokens[item]))[:4]
    others = rng.permutation(np.arange(1, corpus.item_count + 1)).tolist()
    return list(dict.fromkeys([*must, *longest, *others]))[:count]


def trained(model):
    """Parameters with a gradient by name (M6): an encoder's pooler has none; with mean pooling there is no embedding token."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.numel() > 0}


def norm(tensors):
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


def describe_batch(corpus, batch):
    return [{"positives": [corpus.names[item] for item in row], "mask": mask.tolist(), "negatives": [corpus.names[item] for item in negatives]}
            for row, mask, negatives in zip(batch.positives, batch.mask, batch.negatives)]


def first_step(model, corpus, batch):
    """-> (loss part of case.json, tensors); leaves the gradients in the model."""
    model.zero_grad()
    users, targets, negatives = model.outputs(corpus, batch)
    logits = model.logits(users, targets, negatives)
    loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
    loss.backward()
    parameters = trained(model)
    part = {
        "value": loss.item(),
        "rows": len(logits),
        "filtered_logits": int((logits < -1e30).sum()),
        "logit_scale_grad": model.logit_scale.grad.item(),
        "grad_norm": norm(parameter.grad for parameter in parameters.values()),
        "grad_norms": {name: norm([parameter.grad]) for name, parameter in parameters.items()},
    }
    tensors = {"user_output": users, "logits": logits.float().clamp(min=-1e30)}
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in parameters.items()}
    return part, tensors


def curve(model, corpus, batch, optimizer, steps):
    """The loss before each of `steps` updates on one batch, and after the last. The case's part `training`."""
    points = []
    for step in range(steps):
        rate = LEARNING_RATE * reference.learning_rate_factor(step, steps, WARMUP_RATIO)
        loss, grad_norm = optimizer(rate, lambda: model.loss(corpus, batch))
        points.append({"step": step, "loss": loss, "lr": rate, "grad_norm_before_clip": grad_norm})
    with torch.no_grad():
        points.append({"step": steps, "loss": model.loss(corpus, batch).item()})
    return {"total_steps": steps, "curve": points}


class ExactOptimizer:
    """AdamW in fp32 with clipping (O1, W5) and the scale clamped (W14)."""

    def __init__(self, model):
        self.model, self.parameters = model, list(trained(model).values())
        self.adamw = torch.optim.AdamW(self.parameters, lr=1.0, weight_decay=WEIGHT_DECAY)

    def __call__(self, rate, loss_of):
        self.model.zero_grad()
        loss = loss_of()
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(self.parameters, MAX_GRAD_NORM).item()
        self.adamw.param_groups[0]["lr"] = rate
        self.adamw.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, reference.MAX_LOGIT_SCALE)
        return loss.item(), grad_norm


def write(folder, config, model, corpus, batch, items, optimizer_of=ExactOptimizer, steps=20):
    """The model ends up trained. config: as case.json's, paths relative to the folder."""
    pooled = model.item_emb_tokens.shape[1] == 0
    tensors = {}
    with torch.no_grad():
        tensors["item_embeddings"] = model.encode_items([corpus.tokens[item] for item in items])
        if not pooled:
            tensors["item_emb_tokens"] = model.item_emb_tokens.reshape(-1)
            tensors["empty_text_embedding"] = model.encode_items([corpus.tokens[0]])[0]
    loss, of_step = first_step(model, corpus, batch)
    tensors = {name: tensor.detach().float().contiguous().clone() for name, tensor in {**tensors, **of_step}.items()}
    case = {
        "config": {**config, "nce_thres": reference.FALSE_NEGATIVE_COSINE, "item_emb_token_n": 0 if pooled else 1},
        "items": [{"item_id": corpus.names[item], "token_ids": corpus.tokens[item]} for item in items],
        "batch": describe_batch(corpus, batch),
        "loss": loss,
        **({"chunks": corpus.named_chunks} if hasattr(corpus, "named_chunks") else {}),
        "training": curve(model, corpus, batch, optimizer_of(model), steps),
    }
    case["training"]["logit_scale_after"] = model.logit_scale.item()
    save_file(tensors, folder / "tensors.safetensors")
    (folder / "case.json").write_text(json.dumps(case, indent=1, ensure_ascii=False), encoding="utf-8")
