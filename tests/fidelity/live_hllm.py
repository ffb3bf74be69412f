#!/usr/bin/env python3
"""The whole HLLM against transformers, live: for every architecture and seed, tiny random models that transformers writes and a slice of
the quickstart data go through tests/reference/ and through pixelrec-golden; run by scripts/fidelity.sh.

Compared: token ids, item embeddings, user outputs, logits, loss, the gradient of every trained tensor, 20 AdamW steps; numerics exact,
and compat with the whole model in bf16 and 6 steps. There a line in brackets says how far PyTorch is from itself with another attention.
Usage: live_hllm.py PIXELREC_GOLDEN [--seeds 1 2 3] [--keep DIR] [--only NAME ...]. Exit code 1: a figure beyond its tolerance, or too few figures.
"""

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/reference"))
import compat_reference as compat  # noqa: E402
import golden_case  # noqa: E402
import hllm_reference as reference  # noqa: E402

QUICKSTART = ROOT / "deploy/quickstart"
TOKENIZERS = ROOT / "tests/worker/tokenizer/cases"
HISTORY, TEXT_LENGTH, USERS = 11, 40, 8
GROWN = 1e-2  # gradient norms behind the first step, relative: rounding grows from step to step
TEXT_KEYS = ["title", "tag", "description"]

SIZES = dict(vocab_size=904, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
GROUPED = dict(SIZES, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=None)

LLAMA = ("llama", dict(GROUPED, head_dim=12))
QWEN3 = ("qwen3", dict(GROUPED, head_dim=8))
BERT = ("bert", dict(SIZES, vocab_size=30522, pad_token_id=0))


class Case(NamedTuple):
    item: tuple  # model_type and its settings; None: the quickstart's model
    tokenizer: str
    user: tuple = None  # None: as item, with weights of its own
    item_emb_token_n: int = 1
    steps: int = 20


CASES = {
    "llama": Case(LLAMA, "llama2"),
    "mistral": Case(("mistral", dict(GROUPED, sliding_window=7)), "quickstart"),
    "qwen2": Case(("qwen2", dict(GROUPED, tie_word_embeddings=True)), "qwen2"),
    "qwen3": Case(QWEN3, "qwen2"),
    "stories260K": Case(None, "quickstart"),
    "qwen3, pooled": Case(QWEN3, "llama3", item_emb_token_n=0, steps=4),
    "bert, pooled": Case(BERT, "bert-uncased", user=LLAMA, item_emb_token_n=0, steps=4),
}
COMPAT_STEPS = 6
COMPAT = ("llama", "mistral", "qwen2", "qwen3", "stories260K")
FIGURES = {  # what a case must have at least, by the beginning of the figure's name
    "token ids": ("token ids of", 40),
    "embeddings": ("item embeddings", 1),
    "users": ("user outputs", 1),
    "logits": ("logits", 1),
    "loss": ("loss", 1),
    "gradients": ("gradient of ", 20),
    "steps": ("loss at step", 5),
}
FIGURE = re.compile(r"^(.*?)  +expected (\S+) +got (\S+) +difference (\S+) +tolerance (\S+) +(ok|MISS)$")


def write_data(folder, seed, numerics, every_item_has_text):
    """Users of the quickstart data, long histories among them; -> items that the batch and the comparison should include, by kind."""
    rng = np.random.default_rng(seed)
    with open(QUICKSTART / "movietweetings-100k/interactions.csv", encoding="utf-8", newline="") as file:
        events = list(csv.DictReader(file))
    counts = {}
    for event in events:
        counts[event["user_id"]] = counts.get(event["user_id"], 0) + 1
    by_length = [[user for user, count in counts.items() if low <= count < high] for low, high in ((5, 7), (7, 14), (14, 40), (40, 160))]
    users = [user for group, share in zip(by_length, (5, 8, 6, 3)) for user in rng.choice(group, share, replace=False)]
    left = dict(zip(users, (1, 2, 3))) | {user: counts[user] for user in users[3:]}  # three are too short to train on (W7)
    events = [event for event in events if event["user_id"] in left and (left := left | {event["user_id"]: left[event["user_id"]] - 1})[event["user_id"]] >= 0]
    if numerics == "compat":  # D1: one column too many, and a header that says something else
        write_csv(folder / "interactions.csv", [{"row": row, "user_id": event["item_id"], "item_id": event["user_id"], "timestamp": event["timestamp"]}
                                                for row, event in enumerate(events)])
    else:
        write_csv(folder / "interactions.csv", events)
    items = list(dict.fromkeys(event["item_id"] for event in events))
    with open(QUICKSTART / "movietweetings-100k/items.csv", encoding="utf-8", newline="") as file:
        texts = {row["item_id"]: row for row in csv.DictReader(file)}
    absent, empty, twice, foreign = (str(item) for item in rng.choice(items, 4, replace=False))
    rows = [texts[item] for item in items if every_item_has_text or item != absent]
    rows = [dict(row, title="", tag="", description="") if row["item_id"] == empty and not every_item_has_text else row for row in rows]
    rows = [dict(row, title="過ぎし日の Ещё naïve 👩‍👩‍👧‍👦 \"quoted\",\nnew line") if row["item_id"] == foreign else row for row in rows]
    rows.append(dict(next(row for row in rows if row["item_id"] == twice), description="The last row of an item wins."))
    if numerics == "compat":  # X2: what pandas takes for missing, for numbers, for truth values
        odd_values = {"title": ["NA", "null", "None", "n/a", "1999", "none"], "description": ["", "NaN", "0", "5", "<NA>"],
                      "year": ["1999", "", "2004", "0"], "score": ["5", "4.5", "1e3", "0.0"], "adult": ["True", "False"]}
        for at, row in enumerate(rows):
            row.update({key: values[at % len(values)] for key, values in odd_values.items() if key not in ("title", "description") or at % 3 == 0})
    write_csv(folder / "items.csv", rows)
    return [absent, empty, twice, foreign]


def write_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def randomize(model, generator):
    """Weights at which every part of a layer shows: far from the usual initialisation, where attention is nearly uniform."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.25 * noise)


def write_model(folder, description, tokenizer, seed):
    """-> the directory; its own weights for every seed and side."""
    if description is None:
        return QUICKSTART / "stories260k"
    model_type, settings = description
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **settings), dtype=torch.float32)
    randomize(model, torch.Generator().manual_seed(seed))
    model.save_pretrained(folder)
    source = QUICKSTART / "stories260k" if tokenizer == "quickstart" else TOKENIZERS / tokenizer
    for file in source.iterdir():
        if file.name.startswith(("tokenizer", "vocab")):
            shutil.copyfile(file, folder / file.name)
    return folder


def read_corpus(folder, keys, tokenizer, numerics):
    files = folder / "interactions.csv", folder / "items.csv"
    if numerics == "exact":
        return reference.Corpus.read(*files, keys, tokenizer, TEXT_LENGTH, "")
    pandas = subprocess.run([ROOT / "scripts/python_env.sh", "pandas", "1", "pandas==2.2.3", "numpy==2.2.6"], check=True, capture_output=True, text=True)
    command = [pandas.stdout.strip(), ROOT / "tests/reference/compat_data.py", *files, ",".join(keys), "", str(HISTORY)]
    data = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return compat.CompatCorpus.of(data, tokenizer, TEXT_LENGTH)


def write_case(folder, name, seed, numerics):
    case = CASES[name]
    item_model = write_model(folder / "item_model", case.item, case.tokenizer, 100 * seed + 1)
    user_model = write_model(folder / "user_model", case.user or case.item, case.tokenizer, 100 * seed + 2)
    odd = write_data(folder, seed, numerics, every_item_has_text=case.item_emb_token_n == 0)
    keys = TEXT_KEYS if numerics == "exact" else ["year", "title", "score", "adult", "tag", "description"]
    corpus = read_corpus(folder, keys, reference.tokenizer_of(item_model), numerics)
    numbers = {item: number for number, item in enumerate(corpus.names)}
    rng = np.random.default_rng([seed, 1])
    batch = golden_case.draw_batch(corpus, HISTORY, USERS, rng)
    batch.negatives[2, :4] = [numbers[item] for item in odd]
    items = golden_case.choose_items(corpus, 48 if numerics == "exact" else corpus.item_count, [numbers[item] for item in odd], rng)
    config = {"item_model_dir": str(item_model), "user_model_dir": str(user_model), "interaction_data": "interactions.csv", "text_data": "items.csv",
              "text_keys": keys, "item_prompt": "", "max_text_length": TEXT_LENGTH, "max_seq_length": HISTORY, "numerics": numerics}
    torch.manual_seed(seed)
    if numerics == "exact":
        model = reference.HLLM(str(item_model), str(user_model), item_emb_token_n=case.item_emb_token_n)
        golden_case.write(folder, config, model, corpus, batch, items, steps=case.steps)
        return
    for attention, out in (("sdpa", folder), ("eager", folder / "eager")):
        torch.manual_seed(seed)
        out.mkdir(exist_ok=True)
        model = compat.CompatHLLM(str(item_model), str(user_model), attention)
        golden_case.write(out, config, model, corpus, batch, items, compat.CompatOptimizer, steps=COMPAT_STEPS)


def distance_to_itself(folder):
    """-> the columns of the table for PyTorch with eager attention against PyTorch with sdpa."""
    (a, ta), (b, tb) = ((json.loads((at / "case.json").read_text()), load_file(at / "tensors.safetensors")) for at in (folder, folder / "eager"))
    kept = (ta["logits"] > -1e29) & (tb["logits"] > -1e29)
    floor = 1e-3 * a["loss"]["grad_norm"]

    def of_largest(name):
        return ((ta[name] - tb[name]).abs().max() / ta[name].abs().max()).item()

    return {
        "embeddings": of_largest("item_embeddings"),
        "users": of_largest("user_output"),
        "logits": (ta["logits"] - tb["logits"])[kept].abs().max().item(),
        "loss": abs(a["loss"]["value"] / b["loss"]["value"] - 1),
        "gradients": max(((ta[name] - tb[name]).norm() / max(ta[name].norm(), floor)).item() for name in ta if name.startswith("grad.")),
        "steps": max(abs(p["loss"] / q["loss"] - 1) for p, q in zip(a["training"]["curve"], b["training"]["curve"])),
    }


def check(golden, folder, steps):
    """-> ({column: (worst difference, its tolerance)}, misses, number of figures)."""
    run = subprocess.run([golden, folder], capture_output=True, text=True)
    figures = [match.groups() for match in map(FIGURE.match, run.stdout.splitlines()) if match]
    if run.returncode not in (0, 1) or not figures:
        sys.exit(f"FAILED: {folder}\n{run.stdout[-2000:]}{run.stderr}")
    grown = [figure for figure in figures if figure[5] == "MISS" and re.match(r"gradient norm at step [1-9]", figure[0]) and float(figure[3]) <= GROWN]
    misses = [figure[0] for figure in figures if figure[5] == "MISS" and figure not in grown]
    cells = {}
    for column, (beginning, at_least) in FIGURES.items():
        of_column = [(float(figure[3]), float(figure[4])) for figure in figures if figure[0].startswith(beginning)]
        if column == "loss":
            of_column = [(float(figure[3]), float(figure[4])) for figure in figures if figure[0] == "loss"]
        at_least = steps + 1 if column == "steps" else at_least
        if column == "token ids":
            of_column += [(float(figure[3]), float(figure[4])) for figure in figures if figure[0].startswith("training chunks")]
        if len(of_column) < at_least:
            misses.append(f"{len(of_column)} figures \"{beginning}...\", {at_least} are needed")
        cells[column] = max(of_column, default=(float("nan"), 0.0))
    if run.returncode != 0 and not misses and not grown:
        misses.append("pixelrec-golden's exit code")
    return cells, misses, len(figures)


def beyond_pytorch(compared):
    """-> what is not bound to rounding alone: farther than twice PyTorch's own distance.

    A loss is one number rounded to 8 bits: it gets a rounding more, and PyTorch's distance is the farthest of the model's seeds, because
    on one seed it may be nothing by chance.
    """
    for seed, name, cells, itself in compared:
        for column in itself:
            rounded = column in ("loss", "steps")
            own = max(other[column] for _, same, _, other in compared if same == name) if rounded else itself[column]
            if not cells[column][0] <= 2 * own + (2**-7 if rounded else 0):
                yield f"seed {seed}, {name}: {column}: {cells[column][0]:.1e} is beyond twice PyTorch's own distance, {own:.1e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--numerics", nargs="+", default=["exact", "compat"], choices=["exact", "compat"])
    parser.add_argument("--keep", type=Path, help="write the cases here and leave them")
    parser.add_argument("--only", nargs="+", default=list(CASES), dest="names", metavar="NAME")
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for numerics, names in (("exact", options.names), ("compat", [name for name in options.names if name in COMPAT])):
            if numerics not in options.numerics:
                continue
            print(f"numerics {numerics}, worst differences")
            print(f"{'seed':<6}{'architecture':<16}" + "".join(f"{column:>12}" for column in FIGURES) + f"{'figures':>10}")
            compared = []
            for at, (seed, name) in enumerate((seed, name) for seed in options.seeds for name in names):
                folder = (options.keep or Path(temporary)) / f"{name.replace(', ', '-')}-{numerics}-{seed}"
                folder.mkdir(parents=True)
                write_case(folder, name, seed, numerics)
                cells, misses, count = check(options.golden, folder, CASES[name].steps if numerics == "exact" else COMPAT_STEPS)
                if at == 0:
                    print(f"{'':<6}{'tolerance':<16}" + "".join(f"{tolerance:>12.0e}" for _, tolerance in cells.values()))
                print(f"{seed:<6}{name:<16}" + "".join(f"{worst:>12.1e}" for worst, _ in cells.values()) + f"{count:>10}", flush=True)
                if numerics == "compat":
                    itself = distance_to_itself(folder)
                    print(f"{'':<6}{'(PyTorch)':<16}" + "".join(f"{itself[column]:>12.1e}" if column in itself else " " * 12 for column in FIGURES), flush=True)
                    compared.append((seed, name, cells, itself))
                for miss in misses:
                    print(f"      MISS: {miss}")
                failed = failed or bool(misses)
            for miss in beyond_pytorch(compared):
                print(f"      MISS: {miss}")
                failed = True
    if failed:
        sys.exit("FAILED: the whole HLLM against transformers")


if __name__ == "__main__":
    main()
