#!/usr/bin/env python3
"""The data rules of bytedance/HLLM (D1, D3, D5-D7, X1-X3), through pandas itself: writes what a run on two CSV files sees, as JSON.

Usage: compat_data.py INTERACTIONS.csv ITEMS.csv TEXT_KEYS PROMPT MAX_SEQ_LENGTH   (comma-separated keys; a Python with pandas)
-> {items: [{item_id, text}] in order of their numbers, histories: {user: [item_id]}, chunks: [{user_id, items}]}
Equal times keep the file's order; in the reference it depends on the machine (D4). Chunks of one item are left out (W7).
"""

import json
import sys

import pandas


def read_interactions(path):
    """D1: the header is dropped and three names put in its place; of four columns the first becomes the index."""
    kinds = {"item_id": str, "user_id": str, "timestamp": int}
    return pandas.read_csv(path, header=0, names=list(kinds), dtype=kinds)


def read_texts(path):
    table = pandas.read_csv(path, dtype={"item_id": str})
    rows = table.set_index("item_id").T
    return {item: rows.iloc[:, at].to_dict() for at, item in enumerate(rows.columns)}  # the last row of an item wins


def text_of(row, keys, prompt):
    """X2, X3."""
    if row is None:
        return ""
    present = [key for key in keys if row[key] and str(row[key]) != "nan"]
    return prompt + "".join(f"{key}: {row[key]}" for key in present)


def chunks_of(train, length):
    """D7: the oldest remainder is dropped."""
    train = train[len(train) % length:] if len(train) > length else train
    return [train[start:start + length] for start in range(0, len(train), length)]


def main():
    interactions, texts = read_interactions(sys.argv[1]), read_texts(sys.argv[2])
    keys, prompt, length = sys.argv[3].split(","), sys.argv[4], int(sys.argv[5])
    items = [{"item_id": item, "text": text_of(texts.get(item), keys, prompt)} for item in interactions["item_id"].unique()]
    by_user = interactions.sort_values("timestamp", kind="stable").groupby("user_id", sort=False)["item_id"]
    histories = {user: of_user.tolist() for user, of_user in by_user}
    chunks = [{"user_id": user, "items": chunk} for user, history in histories.items() for chunk in chunks_of(history[:-2], length) if len(chunk) > 1]
    print(json.dumps({"items": items, "histories": histories, "chunks": chunks}))


if __name__ == "__main__":
    main()
