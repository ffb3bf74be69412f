#!/usr/bin/env python3
"""Holds `pixelrec-trainer export` against torch, safetensors and transformers; run by scripts/fidelity.sh.

1. reference-bin is read by torch.load(weights_only=True), also mapped, and holds the tensors of best_model/ under the reference's names;
   reference-safetensors holds the same.
2. hf directories load as AutoModel and AutoModelForCausalLM without a missing tensor.
3. A state dict that torch saves (bf16, tied heads, a view, a transposed matrix) is read as torch reads it.
4. Embeddings from best_model/, from its reference-bin export and from that saved again by torch are the same, bit for bit.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


class Exporter:
    def __init__(self, trainer, model, work):
        self.trainer, self.model, self.work = trainer, model, work

    def __call__(self, source, form, *more):
        out = self.work / f"{Path(source).name}-{form}"
        subprocess.run([self.trainer, "export", source, "--format", form, "--out", out, "--force", "--item-model-dir", self.model / "item_llm",
                        "--user-model-dir", self.model / "user_llm", *more], check=True, capture_output=True)
        return out


def reference_names(model):
    """The reference's state dict, as Python puts it together from best_model/."""
    expected = dict(load_file(model / "head.safetensors"))
    for side in ("item_llm", "user_llm"):
        for name, tensor in AutoModelForCausalLM.from_pretrained(model / side).state_dict().items():
            expected[f"{side}.{name}"] = tensor
    return expected


def compare(actual, expected, what):
    check(set(actual) == set(expected), f"{what}: names differ: {set(actual) ^ set(expected)}")
    for name, tensor in expected.items():
        check(actual[name].dtype == tensor.dtype and torch.equal(actual[name], tensor), f"{what}: tensor {name} differs")


def check_weights(export, model):
    expected = reference_names(model)
    file = export(model, "reference-bin") / "pytorch_model.bin"
    compare(torch.load(file, weights_only=True), expected, "reference-bin")
    compare(torch.load(file, weights_only=True, mmap=True), expected, "reference-bin, mapped")
    compare(load_file(export(model, "reference-safetensors") / "model.safetensors"), expected, "reference-safetensors")
    print(f"export: {len(expected)} tensors under the reference's names, equal in torch and safetensors")
    return file, expected


def check_directories(export, source, expected):
    folder = export(source, "hf")
    for side in ("item_llm", "user_llm"):
        for loader in (AutoModel, AutoModelForCausalLM):
            _, info = loader.from_pretrained(folder / side, output_loading_info=True)
            check(not info["missing_keys"] and not info.get("mismatched_keys"), f"hf: {loader.__name__} of {side} misses {info['missing_keys']}")
        loaded = AutoModelForCausalLM.from_pretrained(folder / side).state_dict()
        compare({f"{side}.{name}": tensor for name, tensor in loaded.items()}, {name: tensor for name, tensor in expected.items() if name.startswith(side)},
                f"hf: {side}")
    print("export: hf directories load in transformers with every tensor equal")


def check_torch_saves(export, expected, work):
    """What torch itself saves, in shapes that a file of a training program can have."""
    odd = {}
    for number, (name, tensor) in enumerate(expected.items()):
        tensor = tensor.to(torch.bfloat16) if number % 3 == 0 else tensor
        if tensor.dim() == 2 and number % 2 == 0:
            tensor = tensor.t().contiguous().t()  # transposed in storage
        elif tensor.dim() == 1:
            tensor = torch.cat([torch.zeros(5, dtype=tensor.dtype), tensor])[5:]  # a view with an offset
        odd["module." + name] = tensor
    source = work / "odd.pt"
    torch.save({"epoch": 3, "model": odd, "config": argparse.Namespace(lr=1e-4)}, source)
    actual = load_file(export(source, "reference-safetensors") / "model.safetensors")
    compare(actual, {name.removeprefix("module."): tensor.contiguous() for name, tensor in odd.items()}, "torch.save")
    print("import: transposed, offset and bf16 tensors of torch.save are read as torch reads them")


def check_embeddings(export, sources, dataset):
    matrices = [np.load(export(source, "embeddings", "--dataset", dataset) / "item_embeddings.npy") for source in sources]
    check(matrices[0].dtype == np.float32 and np.isfinite(matrices[0]).all(), "embeddings: not finite fp32")
    for source, matrix in zip(sources[1:], matrices[1:]):
        check(np.array_equal(matrices[0].view(np.uint32), matrix.view(np.uint32)), f"embeddings from {source} differ")
    print(f"export: {matrices[0].shape[0]} item embeddings, the same bits from {len(sources)} sources")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("trainer", "model", "dataset"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        export = Exporter(options.trainer, options.model, work)
        file, expected = check_weights(export, options.model)
        check_directories(export, file, expected)
        check_torch_saves(export, expected, work)
        again = work / "again.bin"
        torch.save(torch.load(file, weights_only=True), again)
        check_embeddings(export, [options.model, file, again], options.dataset)
    print("torch, safetensors and transformers agree with pixelrec-trainer export")


if __name__ == "__main__":
    main()
