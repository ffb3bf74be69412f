#!/usr/bin/env python3
"""oracle_test.py CASE_DIR: the plain PyTorch oracle gives the committed reference numbers; run by scripts/fidelity.sh.

So that the oracle, the golden case and the C++ trainer (tests/golden) are held together at three corners.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers.utils import logging as transformers_logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
import hllm_reference as reference  # noqa: E402

# As case.json's training.optimizer says in words.
LEARNING_RATE, WARMUP_RATIO = 1e-4, 0.1


def check(what, actual, expected, tolerance):
    """Relative to the largest entry of `expected`."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    difference = ((actual - expected).abs().max() / expected.abs().max()).item()
    if not difference <= tolerance:
        sys.exit(f"FAILED: {what} differs by {difference:.2e}, {tolerance:.0e} is allowed")
    print(f"{what}: within {difference:.1e}")


def main():
    transformers_logging.disable_progress_bar()
    folder = Path(sys.argv[1])
    case, tensors = json.loads((folder / "case.json").read_text(encoding="utf-8")), load_file(folder / "tensors.safetensors")
    config = case["config"]
    corpus = reference.Corpus.read(folder / config["interaction_data"], folder / config["text_data"], config["text_keys"],
                                   reference.tokenizer_of(folder / config["item_model_dir"]), config["max_text_length"], config["item_prompt"])
    numbers = {name: number for number, name in enumerate(corpus.names)}
    for item in case["items"]:
        if item["item_id"] in numbers and corpus.tokens[numbers[item["item_id"]]] != item["token_ids"]:
            sys.exit(f"FAILED: tokens of {item['item_id']}")
    model = reference.HLLM(str(folder / config["item_model_dir"]), str(folder / config["user_model_dir"]))
    with torch.no_grad():
        model.item_emb_tokens.copy_(tensors["item_emb_tokens"].view(1, 1, -1))
        check("item embeddings", model.encode_items([item["token_ids"] for item in case["items"]]), tensors["item_embeddings"], 1e-5)

    rows = case["batch"]
    positives = np.array([[numbers[name] if name else 0 for name in row["positives"]] for row in rows])
    negatives = np.array([[numbers[name] for name in row["negatives"]] for row in rows])
    batch = reference.Batch(positives, np.array([row["mask"] for row in rows]), negatives)
    curve = case["training"]["curve"]
    total_steps = case["training"]["total_steps"]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1.0, weight_decay=0.01)
    losses = []
    for step, point in enumerate(curve):
        optimizer.zero_grad()
        loss = model.loss(corpus, batch)
        losses.append(loss.item())
        if step == len(curve) - 1:
            break
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if step == 0:
            check("loss", loss.item(), case["loss"]["value"], 1e-5)
            check("gradient norm", norm.item(), case["loss"]["grad_norm"], 1e-4)
        rate = LEARNING_RATE * reference.learning_rate_factor(step, total_steps, WARMUP_RATIO)
        if abs(rate - point["lr"]) > 1e-9 * LEARNING_RATE:
            sys.exit(f"FAILED: learning rate of step {step}: {rate}, {point['lr']} is expected")
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, reference.MAX_LOGIT_SCALE)
    check("loss curve", losses, [point["loss"] for point in curve], 1e-4)


if __name__ == "__main__":
    main()
