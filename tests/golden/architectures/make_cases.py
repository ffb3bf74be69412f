#!/usr/bin/env python3
"""Tiny random models of every supported architecture with what transformers computes for them: the cases of architecture_test.cc.

Usage: $(scripts/fidelity_env.sh) tests/golden/architectures/make_cases.py [--seed N] [--out DIR] [NAME ...]

A case is a model directory (config.json, model.safetensors) and expected.safetensors, F32:
  lengths [S], token_ids [T]    sequences, one after the other
  hidden [T, H]                 after the last norm, each sequence by itself
  cotangent [T, H], grad.NAME   gradients of sum(hidden * cotangent) by the model's tensors, under their names in the file without prefix
  item_emb_tokens [H], item_embeddings [S, H]   decoders: the last position of each sequence with this vector appended as its input
  pooled [S, H]                 mean of `hidden` over each sequence
  curve [21]                    mean((hidden - cotangent)^2) before each of 20 AdamW steps (rate 1e-3, weight decay 0.01) and after the last
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

LENGTHS = (1, 2, 9, 17, 40)
STEPS, LEARNING_RATE, WEIGHT_DECAY = 20, 1e-3, 0.01
VOCABULARY = 40
SMALL = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
DECODER = dict(SMALL, num_key_value_heads=2, head_dim=8, bos_token_id=1, eos_token_id=2, pad_token_id=None)
ENCODER = dict(SMALL, type_vocab_size=2)

# name -> model_type, settings of its configuration
CASES = {
    "llama": ("llama", dict(DECODER, num_attention_heads=8, num_key_value_heads=2, head_dim=4, attention_bias=True, mlp_bias=True)),
    "llama-derived-head": ("llama", dict(SMALL, num_key_value_heads=1, tie_word_embeddings=True)),
    "llama-linear": ("llama", dict(DECODER, rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=4.0))),
    "llama-dynamic": ("llama", dict(DECODER, max_position_embeddings=16, rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, factor=2.0))),
    "llama-llama3": ("llama", dict(DECODER, rope_parameters=dict(rope_type="llama3", rope_theta=1e3, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                                 original_max_position_embeddings=32))),
    "llama-yarn": ("llama", dict(DECODER, rope_parameters=dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16))),
    "llama-yarn-mscale": ("llama", dict(DECODER, rope_parameters=dict(rope_type="yarn", rope_theta=1e3, factor=8.0, original_max_position_embeddings=8, mscale=0.7,
                                                                      mscale_all_dim=1.3, beta_fast=16.0, beta_slow=2.0, truncate=False))),
    "mistral": ("mistral", dict(DECODER, sliding_window=5)),
    "qwen2": ("qwen2", dict(SMALL, num_key_value_heads=2, use_sliding_window=False)),
    "qwen2-window": ("qwen2", dict(SMALL, num_hidden_layers=3, num_key_value_heads=4, use_sliding_window=True, sliding_window=7, max_window_layers=1)),
    "qwen3": ("qwen3", dict(DECODER)),
    "qwen3-layer-types": ("qwen3", dict(DECODER, attention_bias=True, use_sliding_window=True, sliding_window=16, layer_types=["sliding_attention", "full_attention"])),
    "gemma": ("gemma", dict(DECODER, num_key_value_heads=1)),
    "gemma2": ("gemma2", dict(DECODER, sliding_window=6, query_pre_attn_scalar=5, attn_logit_softcapping=2.0)),
    "gemma3": ("gemma3_text", dict(DECODER, num_hidden_layers=3, sliding_window=8, query_pre_attn_scalar=12, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                                   rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=1e5, factor=2.0),
                                                        sliding_attention=dict(rope_type="default", rope_theta=1e2)))),
    "baichuan": ("llama", dict(SMALL, rms_norm_eps=1e-6)),
    "bert": ("bert", dict(ENCODER, pad_token_id=0)),
    "roberta": ("roberta", dict(ENCODER, pad_token_id=1)),
}
ONE_PLUS = ("gemma", "gemma2", "gemma3_text")  # norm weights around 0


def randomize(model, generator):
    """Weights at which every part of a layer shows: far from the usual initialisation, where attention is nearly uniform."""
    around = 0.0 if model.config.model_type in ONE_PLUS else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(around + 0.3 * noise if is_norm else 0.35 * noise)


def forward(model, **inputs):
    if hasattr(model, "rotary_emb"):
        # Dynamic scaling remembers the longest sequence it saw; here each sequence stands alone.
        model.rotary_emb = type(model.rotary_emb)(model.config)
    if "inputs_embeds" not in inputs or model.config.model_type not in ("bert", "roberta"):
        inputs["use_cache"] = False
    return model(**inputs).last_hidden_state[0]


def expectations(model, generator):
    sequences = [torch.randint(3, VOCABULARY, (length,), generator=generator) for length in LENGTHS]
    hidden = [forward(model, input_ids=ids.unsqueeze(0)) for ids in sequences]
    packed = torch.cat(hidden)
    cotangent = torch.randn(packed.shape, generator=generator)
    (packed * cotangent).sum().backward()
    expected = dict(lengths=torch.tensor(LENGTHS).float(), token_ids=torch.cat(sequences).float(), hidden=packed, cotangent=cotangent,
                    pooled=torch.stack([h.mean(0) for h in hidden]))
    expected |= {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    if model.config.model_type not in ("bert", "roberta"):
        token = 0.5 * torch.randn(model.config.hidden_size, generator=generator)
        with_token = [torch.cat([model.embed_tokens(ids), token.unsqueeze(0)]) for ids in sequences]
        expected |= dict(item_emb_tokens=token, item_embeddings=torch.stack([forward(model, inputs_embeds=x.unsqueeze(0))[-1] for x in with_token]))
    expected = {name: tensor.detach().float().contiguous().clone() for name, tensor in expected.items()}
    return expected | {"curve": curve(model, sequences, cotangent)}


def curve(model, sequences, target):
    """Losses of a few optimiser steps on one batch; changes the model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses = []
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = (torch.cat([forward(model, input_ids=ids.unsqueeze(0)) for ids in sequences]) - target).square().mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return torch.tensor(losses)


def fuse(tensors):
    """q, k and v of a Llama as Baichuan2's W_pack; expected gradients likewise."""
    for name in [name for name in tensors if name.endswith("q_proj.weight")]:
        parts = [tensors.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        tensors[name.replace("q_proj", "W_pack")] = torch.cat(parts)


def rewrite(name, folder, expected):
    """What transformers doesn't write itself: Baichuan2, the spelling of transformers 4, names with their prefix."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    weights = load_file(folder / "model.safetensors")
    if name == "baichuan":
        keep = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps", "hidden_act")
        config = {"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", "torch_dtype": "float32", "tie_word_embeddings": False, **{k: config[k] for k in keep}}
        fuse(weights)
        fuse(expected)
    if name in ("llama-linear", "llama-llama3", "qwen2"):
        rope = config.pop("rope_parameters")
        config |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope if rope["rope_type"] != "default" else None}
        config["torch_dtype"] = config.pop("dtype")
    prefix = {"bert": "bert.", "roberta": ""}.get(name, "model.")
    if name == "bert":  # as converted from TensorFlow
        weights = {key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value for key, value in weights.items()}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    save_file({prefix + key: value for key, value in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})


def make(name, seed, out):
    model_type, settings = CASES[name]
    generator = torch.Generator().manual_seed(1000 * seed + sorted(CASES).index(name))
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **settings), attn_implementation="eager", dtype=torch.float32)
    model.eval()  # encoders have dropout
    randomize(model, generator)
    folder = out / name
    model.save_pretrained(folder)  # before `curve` trains it
    expected = expectations(model, generator)
    rewrite(name, folder, expected)
    save_file(expected, folder / "expected.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("names", nargs="*", default=sorted(CASES))
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in options.names:
        make(name, options.seed, options.out)


if __name__ == "__main__":
    main()
