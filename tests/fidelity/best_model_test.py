#!/usr/bin/env python3
"""Holds best_model/ and the trainer's own computation against transformers; run by scripts/fidelity.sh.

1. item_llm/ and user_llm/ load as LlamaModel and LlamaForCausalLM without a missing tensor.
2. `pixelrec-trainer encode` gives every item the embedding that transformers computes from the same files and texts.
3. `pixelrec-trainer recommend` gives the scores and the order that both models give through transformers.
4. The same for models of other shapes that transformers wrote: grouped heads of a size of their own, no tied head, bf16, shards.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
import hllm_reference as reference  # noqa: E402

# Relative to the largest entry. Two thread counts of one program already differ by 1e-6.
EMBEDDING_TOLERANCE = 1e-5
SCORE_TOLERANCE = 1e-5
RECOMMENDED = 10
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def check_loads(model_dir):
    """transformers finds every tensor, under both classes, in the dtype that config.json names."""
    for loader in (AutoModel, AutoModelForCausalLM):
        model, info = loader.from_pretrained(model_dir, output_loading_info=True)
        check(not info["missing_keys"] and not info.get("mismatched_keys"), f"{model_dir}: {loader.__name__} misses {info['missing_keys']}")
        stored = load_file(next(Path(model_dir).glob("model*.safetensors")))
        check(next(model.parameters()).dtype == next(iter(stored.values())).dtype, f"{model_dir}: loads in another dtype than it is stored in")


def transformers_model(model_dir, info):
    """best_model/ as the oracle's module."""
    model = reference.HLLM(str(model_dir / "item_llm"), str(model_dir / "user_llm"))
    head = load_file(model_dir / "head.safetensors")
    check(tuple(head["item_emb_tokens"].shape) == (1, info["item_emb_token_n"], model.item_llm.config.hidden_size), "shape of item_emb_tokens")
    check(head["logit_scale"].shape == (), "shape of logit_scale")
    with torch.no_grad():
        model.item_emb_tokens.copy_(head["item_emb_tokens"])
        model.logit_scale.copy_(head["logit_scale"])
    return model.eval()


def compare_embeddings(options, model_dir, expected, names, work):
    """-> the trainer's embeddings in the oracle's order."""
    out = work / f"encoded-{model_dir.name}"
    subprocess.run([options.trainer, "encode", "--model", model_dir, "--dataset", options.dataset, "--out", out], check=True, capture_output=True)
    ids = (out / "item_ids.txt").read_text(encoding="utf-8").splitlines()
    actual = np.load(out / "item_embeddings.npy")
    check(actual.dtype == np.float32 and actual.shape == tuple(expected[1:].shape), f"shape {actual.shape} of item_embeddings.npy")
    check(ids == names[1:], "item_ids.txt is not in order of first appearance")
    difference = np.abs(actual - expected[1:].numpy()).max() / expected.abs().max().item()
    check(difference <= EMBEDDING_TOLERANCE, f"{model_dir.name}: embeddings differ by {difference:.2e} of the largest entry")
    return difference


@torch.no_grad()
def compare_recommendations(options, model, model_dir, catalogue, corpus, inputs):
    command = [options.trainer, "recommend", "--model", model_dir, "--dataset", options.dataset, "--sample-users", "3", "-k", str(RECOMMENDED),
               "--format", "json"]
    requests = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    check(len(requests) == 3, "recommend answers three users")
    numbers = {name: number for number, name in enumerate(corpus.names)}
    worst = 0.0
    for request in requests:
        history = [numbers[item["item_id"]] for item in request["history"]]
        check(history == corpus.histories[request["user_id"]][:-1], f"history of user {request['user_id']}")
        last = history[-inputs:]
        user = model.encode_users(catalogue[last].unsqueeze(0), torch.ones(1, len(last), dtype=torch.long))[0, -1]
        scores = F.normalize(catalogue, dim=-1, eps=0) @ F.normalize(user, dim=-1, eps=0)
        scores[[0, *history]] = -torch.inf
        expected = torch.topk(scores, RECOMMENDED).values
        for place, item in enumerate(request["items"]):
            # By score, not by id: neighbours that are closer than the tolerance may change places.
            worst = max(worst, abs(item["score"] - expected[place].item()), abs(item["score"] - scores[numbers[item["item_id"]]].item()))
    check(worst <= SCORE_TOLERANCE, f"{model_dir.name}: scores differ by {worst:.2e}")
    return worst


def compare(options, model_dir, corpus, work):
    info = json.loads((model_dir / "hllm.json").read_text(encoding="utf-8"))
    for side in ("item_llm", "user_llm"):
        check_loads(model_dir / side)
    model = transformers_model(model_dir, info)
    catalogue = reference.embed_catalogue(model, corpus)
    embeddings = compare_embeddings(options, model_dir, catalogue, corpus.names, work)
    scores = compare_recommendations(options, model, model_dir, catalogue, corpus, info["max_seq_length"] - 1)
    print(f"{model_dir.name}: {corpus.item_count} item embeddings within {embeddings:.1e}, scores within {scores:.1e}", flush=True)


# Item model, user model: what a config can vary and this project claims to compute.
SHAPES = {
    "head-size-of-its-own": (
        dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=16,
             rope_theta=500000.0, rms_norm_eps=1e-6, tie_word_embeddings=False),
        dict(hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, tie_word_embeddings=False)),
    "bf16-shards": (
        dict(hidden_size=32, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=True),
        dict(hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True)),
}


def write_variant(name, source, work):
    """A best_model/ of random weights, written by transformers; hllm.json of the trained model, so that the dataset fits."""
    torch.manual_seed(1)
    target = work / name
    for side, sizes in zip(("item_llm", "user_llm"), SHAPES[name]):
        config = LlamaConfig(vocab_size=512, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, initializer_range=0.2, **sizes)
        model = LlamaForCausalLM(config)
        if "bf16" in name:
            model = model.to(torch.bfloat16)
        model.save_pretrained(target / side, max_shard_size="20KB" if "shards" in name else "5GB")
        for file in TOKENIZER_FILES:
            if (source / "item_llm" / file).exists():
                shutil.copy(source / "item_llm" / file, target / side)
    save_file({"item_emb_tokens": torch.randn(1, 1, SHAPES[name][0]["hidden_size"]), "logit_scale": torch.tensor(3.0)}, target / "head.safetensors")
    info = json.loads((source / "hllm.json").read_text(encoding="utf-8"))
    (target / "hllm.json").write_text(json.dumps({**info, "files": {}}), encoding="utf-8")
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("trainer", "model", "dataset", "interactions", "items"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    info = json.loads((options.model / "hllm.json").read_text(encoding="utf-8"))
    corpus = reference.Corpus.read(options.interactions, options.items, info["text_keys"], reference.tokenizer_of(options.model / "item_llm"),
                                   info["max_text_length"], info["item_prompt"])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        compare(options, options.model, corpus, work)
        for name in SHAPES:
            compare(options, write_variant(name, options.model, work), corpus, work)
    print("transformers and pixelrec-trainer agree")


if __name__ == "__main__":
    main()
