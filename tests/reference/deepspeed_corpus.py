#!/usr/bin/env python3
"""Writes the inputs of tests/fuzz/corpus/deepspeed: small DeepSpeed folders, sound and broken, as tests/fuzz/deepspeed_fuzz.cc reads them.

Needs torch (scripts/fidelity_env.sh). Usage: deepspeed_corpus.py tests/fuzz/corpus/deepspeed
"""

import io
import sys
from collections import OrderedDict
from pathlib import Path

import torch

LATEST, MODEL, OPTIM0, OPTIM1, MODEL0, MODEL1, BARE, PARALLEL = range(8)
SHAPES = OrderedDict([("item_emb_tokens", torch.Size([1, 1, 2])), ("logit_scale", torch.Size([])), ("item_llm.model.norm.weight", torch.Size([2]))])
ELEMENTS = 5


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def folder(*files):
    """(name, content) pairs as one input."""
    return b"".join(bytes([name]) + len(content).to_bytes(3, "little") + content for name, content in files)


def model_states(**changes):
    states = {"module": {}, "buffer_names": [], "param_shapes": [SHAPES], "frozen_param_shapes": None, "frozen_param_fragments": None, "shared_params": {},
              "global_steps": 3, "ds_version": "0.14.0"}
    return saved(states | changes)


def by_group(rank, world=2, stage=2, length=None, **changes):
    padded = (ELEMENTS + 2 * world - 1) // (2 * world) * (2 * world)
    slices = torch.arange(padded, dtype=torch.float32).chunk(world)
    master = slices[rank].clone() if length is None else torch.zeros(length)
    return saved({"optimizer_state_dict": {"zero_stage": stage, "partition_count": [world], "single_partition_of_fp32_groups": [master]} | changes})


def by_parameter(rank, world=2, length=None):
    part = sum(-(-shape.numel() // world) for shape in SHAPES.values())
    master = torch.full((part if length is None else length,), float(rank))
    return saved({"optimizer_state_dict": {"zero_stage": 3, "partition_count": world, "fp32_flat_groups": [master]}})


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    latest = (LATEST, b"step\n")
    frozen = {"frozen_param_shapes": OrderedDict(frozen=torch.Size([3])), "frozen_param_fragments": OrderedDict(frozen=torch.ones(3, dtype=torch.bfloat16))}
    half = {"frozen_param_shapes": OrderedDict(frozen=torch.Size([3])), "frozen_param_fragments": OrderedDict(frozen=torch.ones(2, dtype=torch.bfloat16))}
    stage2 = [(OPTIM0, by_group(0)), (OPTIM1, by_group(1))]
    stage3 = [(OPTIM0, by_parameter(0)), (OPTIM1, by_parameter(1))]
    module = OrderedDict(logit_scale=torch.tensor(2.5), item_emb_tokens=torch.zeros(1, 1, 2))
    inputs = {
        "stage2": folder(latest, (MODEL, model_states()), *stage2),
        "stage1": folder(latest, (MODEL, model_states()), (OPTIM0, by_group(0, world=1, stage=1))),
        "stage3": folder(latest, (MODEL0, model_states()), (MODEL1, model_states()), *stage3),
        "stage3_frozen": folder(latest, (MODEL0, model_states(**half)), (MODEL1, model_states(**half)), *stage3),
        "stage2_frozen": folder(latest, (MODEL, model_states(**frozen)), *stage2),
        "without_zero": folder(latest, (MODEL, model_states(module=module))),
        "bare_folder": folder((BARE, model_states(module=module))),
        "shared": folder(latest, (MODEL, model_states(shared_params={"item_llm.lm_head.weight": "item_llm.model.norm.weight"})), *stage2),
        "buffer": folder(latest, (MODEL, model_states(buffer_names=["table"], module={"table": torch.arange(3)})), *stage2),
        "buffer_missing": folder(latest, (MODEL, model_states(buffer_names=["table"])), *stage2),
        "paddings": folder(latest, (MODEL, model_states()), (OPTIM0, by_group(0, world=1, length=8, param_alignment_paddings=[[0, 1, 0]]))),
        "paddings_huge": folder(latest, (MODEL, model_states()), (OPTIM0, by_group(0, world=1, length=8, param_alignment_paddings=[[1 << 62, -1, 0]]))),
        "too_short": folder(latest, (MODEL, model_states()), (OPTIM0, by_group(0, length=1)), (OPTIM1, by_group(1, length=1))),
        "too_long": folder(latest, (MODEL, model_states()), (OPTIM0, by_group(0, length=40)), (OPTIM1, by_group(1, length=40))),
        "uneven_ranks": folder(latest, (MODEL0, model_states()), (MODEL1, model_states()), (OPTIM0, by_parameter(0)), (OPTIM1, by_parameter(1, length=9))),
        "missing_rank": folder(latest, (MODEL, model_states()), (OPTIM1, by_group(1))),
        "mixed_stages": folder(latest, (MODEL, model_states()), (OPTIM0, by_group(0)), (OPTIM1, by_parameter(1))),
        "huge_shape": folder(latest, (MODEL, model_states(param_shapes=[{"w": torch.Size([1 << 40, 1 << 40])}])), *stage2),
        "shape_of_64_bits": folder(latest, (MODEL, model_states(param_shapes=[{"w": torch.Size([1 << 62])}])), *stage2),
        "negative_shape": folder(latest, (MODEL, model_states(param_shapes=[{"w": (-1, 2)}])), *stage2),
        "no_shapes": folder(latest, (MODEL, model_states(param_shapes=None)), *stage2),
        "empty_group": folder(latest, (MODEL, model_states(param_shapes=[{}])), (OPTIM0, by_group(0, world=1, length=0))),
        "masters_of_bf16": folder(latest, (MODEL, model_states()), (OPTIM0, saved({"optimizer_state_dict": {"single_partition_of_fp32_groups": [torch.zeros(8, dtype=torch.bfloat16)]}}))),
        "model_parallel": folder(latest, (MODEL, model_states()), (PARALLEL, b""), *stage2),
        "tag_leads_outside": folder((LATEST, b"../step"), (MODEL, model_states())),
        "tag_without_files": folder((LATEST, b"other")),
        "not_torch": folder(latest, (MODEL, b"PK\3\4nothing")),
        "cut": folder(latest, (MODEL, model_states()), *stage2)[:-700],
        "nothing": b"",
    }  # fmt: skip
    for name, content in inputs.items():
        (out / name).write_bytes(content)


if __name__ == "__main__":
    main()
