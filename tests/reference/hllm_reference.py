#!/usr/bin/env python3
"""HLLM in plain PyTorch and transformers: this project's oracle of correctness and its baseline of speed.

It is written to be obviously right, not fast: every item occurrence is encoded, items are right-padded to one rectangle, users are
left-padded, nothing is shared or fused. Rule names (D7, N4, W3, ...) are those of the HLLM rules that the C++ code cites too; the numbers
follow `numerics: exact`; compat_reference.py derives `numerics: compat` from it. Takes any decoder that AutoModel loads, and with
item_emb_token_n 0 an encoder as item model. Runs in the environment that scripts/fidelity.sh makes (torch, transformers, safetensors,
sentencepiece, numpy).

As a library: Corpus, HLLM, Batch, nce_logits, learning_rate_factor, rank_targets.
As a program: trains, and prints one JSON line with throughput and losses; --evaluate adds Recall and NDCG on the test targets.

    hllm_reference.py --batch 32 --steps 50 --lr 2e-3 --text-keys title,tag --prompt "" --max-text-length 48
"""

import argparse
import csv
import dataclasses
import json
import math
import os
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

QUICKSTART = Path(__file__).resolve().parents[2] / "deploy" / "quickstart"
DEFAULT_PROMPT = "Compress the following sentence into embedding: "
INITIAL_LOGIT_SCALE = math.log(1 / 0.07)
MAX_LOGIT_SCALE = math.log(100)
FALSE_NEGATIVE_COSINE = 0.99


# ---------------------------------------------------------------------------------------------------------------- data

def tokenizer_of(model_dir):
    """str -> list of token ids with the special tokens of the model (a Llama: BOS in front, no EOS)."""
    fast, word_pieces = Path(model_dir, "tokenizer.json"), Path(model_dir, "vocab.txt")
    if fast.exists():
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(str(fast))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return lambda text: tokenizer.encode(text, add_special_tokens=True).ids
    if word_pieces.exists():
        from transformers import BertTokenizer
        return BertTokenizer.from_pretrained(model_dir).encode
    import sentencepiece
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(Path(model_dir, "tokenizer.model")))
    return lambda text: [pieces.bos_id(), *pieces.encode(text)]


def text_of_item(row, text_keys, prompt):
    """X1-X3: prompt and the non-empty fields, "key: value" without a separator; None for an item that the text file doesn't have."""
    if row is None:
        return None
    return prompt + "".join(f"{key}: {row[key]}" for key in text_keys if row.get(key))


@dataclasses.dataclass
class Corpus:
    """Items are numbered from 1 in order of first appearance (D3); 0 is padding. tokens[0] is empty, as for an item without text (W13)."""

    names: list      # [items + 1] item_id as in the CSV
    tokens: list     # [items + 1] token ids, cut to the maximum length, without the embedding token
    histories: dict  # user_id -> item numbers by (timestamp, file row) (W1)

    @classmethod
    def read(cls, interactions, items, text_keys, tokenizer, max_text_length, prompt=DEFAULT_PROMPT):
        with open(items, encoding="utf-8", newline="") as file:
            rows = {row["item_id"]: row for row in csv.DictReader(file)}
        numbers, events = {}, []
        with open(interactions, encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file)):
                number = numbers.setdefault(row["item_id"], len(numbers) + 1)
                events.append((int(row["timestamp"]) if row.get("timestamp") else line, line, row["user_id"], number))
        histories = {}
        for _, _, user, number in sorted(events):
            histories.setdefault(user, []).append(number)
        names, tokens = [None], [[]]
        for name in numbers:
            text = text_of_item(rows.get(name), text_keys, prompt)
            names.append(name)
            tokens.append(tokenizer(text)[:max_text_length] if text else [])  # W13: an empty text is none
        return cls(names, tokens, histories)

    @property
    def item_count(self):
        return len(self.names) - 1

    def evaluated_histories(self):
        """W7: users with fewer than three events take no part."""
        return [history for history in self.histories.values() if len(history) >= 3]

    def training_chunks(self, length):
        """D6, D7: all but each user's last two events, in pieces of `length`, oldest remainder dropped; pieces of one item have no row."""
        chunks = []
        for history in self.evaluated_histories():
            train = history[:-2]
            if len(train) > length:
                train = train[len(train) % length:]
            pieces = [train[start:start + length] for start in range(0, len(train), length)]
            chunks += [piece for piece in pieces if len(piece) > 1]
        return chunks


@dataclasses.dataclass
class Batch:
    """positives [B, M] right-aligned with 0 as padding, mask [B, M-1] (1: input and target are real), negatives [B, M]."""

    positives: np.ndarray
    mask: np.ndarray
    negatives: np.ndarray

    @classmethod
    def draw(cls, chunks, length, item_count, rng):
        """T1-T3 as W2 mends them: M negatives a row, uniform over the items outside the row's chunk."""
        positives = np.zeros((len(chunks), length), np.int64)
        negatives = np.zeros((len(chunks), length), np.int64)
        for row, chunk in enumerate(chunks):
            positives[row, length - len(chunk):] = chunk
            outside = []
            while len(outside) < length:
                candidate = int(rng.integers(1, item_count + 1))
                if candidate not in chunk:
                    outside.append(candidate)
            negatives[row] = outside
        return cls(positives, (positives[:, :-1] > 0).astype(np.int64), negatives)


# --------------------------------------------------------------------------------------------------------------- model

def load_model(model_dir, dtype=torch.float32, attention="sdpa"):
    from transformers import AutoModel
    return AutoModel.from_pretrained(model_dir, dtype=dtype, attn_implementation=attention)


class HLLM(nn.Module):
    """Item LLM, user LLM, one learned embedding token or none (mean pooling, X5), one logit scale (M1)."""

    def __init__(self, item_model, user_model, gradient_checkpointing=False, item_emb_token_n=1, **loading):
        super().__init__()
        self.item_llm, self.user_llm = load_model(item_model, **loading), load_model(user_model, **loading)
        hidden = self.item_llm.config.hidden_size
        self.item_emb_tokens = nn.Parameter(0.02 * torch.randn(1, item_emb_token_n, hidden))
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))
        self.user_llm.get_input_embeddings().requires_grad_(False)  # it is fed with item embeddings (M6)
        if gradient_checkpointing:
            self.item_llm.gradient_checkpointing_enable({"use_reentrant": False})
            self.user_llm.gradient_checkpointing_enable({"use_reentrant": False})
            self.item_llm.train()  # transformers recomputes in this mode alone; decoders have no dropout by default
            self.user_llm.train()

    def encode_items(self, token_lists):
        """n lists of token ids -> [n, H]: the last norm's output at the embedding token that follows the text (M2, M3), or its mean
        over the tokens (X5)."""
        lengths = torch.tensor([len(tokens) for tokens in token_lists])
        ids = nn.utils.rnn.pad_sequence([torch.tensor([*tokens, 0]) for tokens in token_lists], batch_first=True)
        if self.item_emb_tokens.shape[1] == 0:
            return self.pool(ids, lengths)
        at_end = F.one_hot(lengths, ids.shape[1]).bool().unsqueeze(-1)
        # Attention is causal, so the padding behind the embedding token reaches nothing that is read.
        inputs = torch.where(at_end, self.item_emb_tokens, self.item_llm.get_input_embeddings()(ids))
        return self.item_llm(inputs_embeds=inputs, use_cache=False).last_hidden_state[torch.arange(len(token_lists)), lengths]

    def pool(self, ids, lengths):
        lengths = lengths.clamp(min=1)  # padding among the positives must be finite; nothing reads it
        there = torch.arange(ids.shape[1]) < lengths.unsqueeze(-1)
        hidden = self.item_llm(input_ids=ids, attention_mask=there.long()).last_hidden_state
        return (hidden * there.unsqueeze(-1)).sum(1) / lengths.unsqueeze(-1)

    def encode_users(self, items_BSH, mask_BS):
        """M4: [B, S, H] -> [B, S, H]; left padding takes no part."""
        return self.user_llm(inputs_embeds=items_BSH, attention_mask=mask_BS, use_cache=False).last_hidden_state

    def outputs(self, corpus, batch):
        """-> what the loss is made of: user outputs and targets of the valid rows [R, H], negatives [K, H]; not normalised."""
        rows, length = batch.positives.shape
        occurrences = np.concatenate([batch.positives.ravel(), batch.negatives.ravel()])
        embeddings = self.encode_items([corpus.tokens[item] for item in occurrences])
        positives = embeddings[:rows * length].view(rows, length, -1)
        mask = torch.from_numpy(batch.mask)
        users = self.encode_users(positives[:, :-1], mask)
        valid = mask.bool()
        return users[valid], positives[:, 1:][valid], embeddings[rows * length:]

    def logits(self, users_RH, targets_RH, negatives_KH):
        return nce_logits(users_RH, targets_RH, negatives_KH, self.logit_scale)

    def loss(self, corpus, batch):
        """N5: cross entropy with label 0; mean over the valid rows of the batch; every negative serves every row (W3)."""
        logits = self.logits(*self.outputs(corpus, batch))
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


def nce_logits(users_RH, targets_RH, negatives_KH, logit_scale):
    """N1-N4: cosines with the target and all negatives, scaled; a negative that equals the target is left out."""
    users, targets, negatives = (F.normalize(x.float(), dim=-1, eps=0) for x in (users_RH, targets_RH, negatives_KH))
    right = (users * targets).sum(-1, keepdim=True)
    wrong = users @ negatives.T
    same = (targets @ negatives.T).detach() > FALSE_NEGATIVE_COSINE
    wrong = wrong.masked_fill(same, torch.finfo(wrong.dtype).min)
    return torch.cat([right, wrong], dim=-1) * logit_scale.exp()


def learning_rate_factor(step, total_steps, warmup_ratio):
    """O3: linear warm-up from 0, then half a cosine to 0; step from 0."""
    warmup = total_steps * warmup_ratio
    if step < warmup:
        return step / max(1.0, warmup)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total_steps - warmup))))


# ---------------------------------------------------------------------------------------------------------- evaluation

@torch.no_grad()
def embed_catalogue(model, corpus, rows_at_once=256):
    """[items + 1, H]; row 0 is the item without text. Sorted by length, so that little is padded."""
    order = sorted(range(len(corpus.tokens)), key=lambda item: len(corpus.tokens[item]))
    embeddings = torch.empty(len(order), model.item_emb_tokens.shape[-1])
    for start in range(0, len(order), rows_at_once):
        items = order[start:start + rows_at_once]
        embeddings[items] = model.encode_items([corpus.tokens[item] for item in items])
    return embeddings


@torch.no_grad()
def rank_targets(model, catalogue, histories_and_targets, inputs, rows_at_once=256):
    """W9: 1 + number of items with a higher score, the history masked; None where the target is in the history. inputs = M - 1."""
    unit = F.normalize(catalogue, dim=-1, eps=0)
    ranks = []
    for start in range(0, len(histories_and_targets), rows_at_once):
        some = histories_and_targets[start:start + rows_at_once]
        items = torch.zeros(len(some), inputs, dtype=torch.long)
        for row, (history, _) in enumerate(some):
            last = history[-inputs:]
            items[row, inputs - len(last):] = torch.tensor(last)
        users = model.encode_users(catalogue[items], (items > 0).long())[:, -1]
        scores = F.normalize(users, dim=-1, eps=0) @ unit.T
        scores[:, 0] = -math.inf
        for row, (history, target) in enumerate(some):
            scores[row, history] = -math.inf
            ranks.append(None if target in history else 1 + int((scores[row] > scores[row, target]).sum()))
    return ranks


def recall_and_ndcg(ranks, cutoffs=(5, 10, 50, 200)):
    """V4: shares of 1; a rank of None is a miss."""
    metrics = {}
    for k in cutoffs:
        hits = [rank for rank in ranks if rank is not None and rank <= k]
        metrics[f"recall@{k}"] = len(hits) / len(ranks)
        metrics[f"ndcg@{k}"] = sum(1 / math.log2(rank + 1) for rank in hits) / len(ranks)
    return metrics


# ------------------------------------------------------------------------------------------------------------ training

def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description="Trains HLLM in plain PyTorch and prints throughput and losses as one JSON line.")
    parser.add_argument("--item-model", default=str(QUICKSTART / "stories260k"))
    parser.add_argument("--user-model", help="default: as --item-model")
    parser.add_argument("--interactions", default=str(QUICKSTART / "movietweetings-100k" / "interactions.csv"))
    parser.add_argument("--items", default=str(QUICKSTART / "movietweetings-100k" / "items.csv"))
    parser.add_argument("--text-keys", default="title,tag,description")
    parser.add_argument("--prompt", default=DEFAULT_PROMPT)
    parser.add_argument("--batch", type=int, default=16, help="chunks per rank and step")
    parser.add_argument("--max-seq-length", type=int, default=11, help="M: items per chunk")
    parser.add_argument("--max-text-length", type=int, default=64, help="tokens per item")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=0, help="whole epochs instead of --steps")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--warmup-ratio", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations in the backward pass")
    parser.add_argument("--threads", type=int, default=0, help="default: all, or an equal share per rank")
    parser.add_argument("--ddp", type=int, default=0, help="ranks over Gloo, each with its own negatives only: for speed, not for numbers; 0: one process")
    parser.add_argument("--evaluate", action="store_true", help="rank all items for every user's test target at the end")
    parsed = parser.parse_args(arguments)
    parsed.user_model = parsed.user_model or parsed.item_model
    return parsed


def average_gradients(parameters, world_size):
    """One all-reduce over everything; each rank's loss is a mean over its own rows (rows per rank are nearly equal)."""
    gradients = [parameter.grad for parameter in parameters]
    flat = torch.cat([gradient.view(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= world_size
    for gradient, piece in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(piece.view_as(gradient))


def train(rank, options):
    world_size = max(1, options.ddp)
    torch.set_num_threads(options.threads or max(1, (os.cpu_count() or 1) // world_size))
    if options.ddp:
        torch.distributed.init_process_group("gloo", init_method=f"file://{options.rendezvous}", rank=rank, world_size=world_size)
    torch.manual_seed(options.seed)
    corpus = Corpus.read(options.interactions, options.items, options.text_keys.split(","), tokenizer_of(options.item_model),
                         options.max_text_length, options.prompt)
    model = HLLM(options.item_model, options.user_model, options.checkpointing)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.01, fused=True)
    chunks = corpus.training_chunks(options.max_seq_length)
    global_batch = options.batch * world_size
    # A short last batch (W1) would leave some ranks without a row.
    steps_per_epoch = len(chunks) // global_batch if options.ddp else math.ceil(len(chunks) / global_batch)
    total_steps = options.epochs * steps_per_epoch or options.steps

    losses, seconds, work = [], [], {"users": 0, "items": 0, "tokens": 0}
    for step in range(total_steps):
        epoch, step_in_epoch = divmod(step, steps_per_epoch)
        order = np.random.default_rng([options.seed, epoch]).permutation(len(chunks))
        share = order[step_in_epoch * global_batch:][:global_batch][rank * options.batch:][:options.batch]
        batch = Batch.draw([chunks[i] for i in share], options.max_seq_length, corpus.item_count,
                           np.random.default_rng([options.seed, step, rank]))
        start = time.perf_counter()
        loss = model.loss(corpus, batch)
        loss.backward()
        if options.ddp:
            average_gradients(parameters, world_size)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = options.lr * learning_rate_factor(step, total_steps, options.warmup_ratio)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)  # W14
        losses.append(loss.item())
        if step >= 2:  # the first steps warm caches and allocators
            seconds.append(time.perf_counter() - start)
            real = [*batch.positives[batch.positives > 0], *batch.negatives.ravel()]
            work["users"] += len(share)
            work["items"] += len(real)
            work["tokens"] += sum(len(corpus.tokens[item]) + 1 for item in real)
    report = describe(options, model, losses, seconds, {name: world_size * amount for name, amount in work.items()}, steps_per_epoch)
    if options.evaluate and rank == 0:
        model.eval()
        cases = [(history[:-1], history[-1]) for history in corpus.evaluated_histories()]
        report["test"] = recall_and_ndcg(rank_targets(model, embed_catalogue(model, corpus), cases, options.max_seq_length - 1))
    if options.ddp:
        torch.distributed.destroy_process_group()
    if rank == 0:
        print(json.dumps(report))


def describe(options, model, losses, seconds, work, steps_per_epoch):
    """Amounts are of the whole job; tokens are useful ones, padding not counted."""
    total = sum(seconds) or math.nan
    report = {
        "impl": f"pytorch-ddp{options.ddp}" if options.ddp else "pytorch",
        "model": Path(options.item_model).resolve().name,
        "ranks": max(1, options.ddp),
        "threads": torch.get_num_threads(),
        "batch": options.batch,
        "users_per_s": round(work["users"] / total, 3),
        "items_per_s": round(work["items"] / total, 2),
        "useful_tokens_per_s": round(work["tokens"] / total, 1),
        "step_s_median": round(statistics.median(seconds), 4) if seconds else None,
        "loss_first": round(losses[0], 5),
        "loss_last": round(losses[-1], 5),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "params": sum(parameter.numel() for parameter in model.parameters()),
    }
    if options.epochs:
        report["loss_by_epoch"] = [round(statistics.fmean(losses[at:at + steps_per_epoch]), 4) for at in range(0, len(losses), steps_per_epoch)]
    return report


def main():
    options = parse_arguments()
    if not options.ddp:
        train(0, options)
        return
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        options.rendezvous = str(Path(folder, "rendezvous"))
        torch.multiprocessing.spawn(train, args=(options,), nprocs=options.ddp)


if __name__ == "__main__":
    main()
