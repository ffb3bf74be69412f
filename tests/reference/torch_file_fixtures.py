#!/usr/bin/env python3
"""Writes what the tests of worker/checkpoint/torch_file read, with torch itself; run again only to change it.

Usage: $(scripts/fidelity_env.sh) tests/reference/torch_file_fixtures.py
  tests/worker/checkpoint/fixtures/state_dict.{bin,safetensors}   the same tensors by torch.save and by safetensors
  tests/worker/checkpoint/fixtures/legacy.bin                     the format from before torch 1.6
  tests/worker/checkpoint/fixtures/{single,sharded}_bin/          a Llama of tests/worker/checkpoint/tiny_model.h as pytorch_model.bin,
                                                                  whole and in shards, beside the same tensors in reference.safetensors
  tests/fuzz/corpus/torch_file/*                                  sound, odd, damaged and hostile files
"""

import collections
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

TESTS = Path(__file__).resolve().parents[1]
FIXTURES = TESTS / "worker/checkpoint/fixtures"
CORPUS = TESTS / "fuzz/corpus/torch_file"


def write_state_dict():
    torch.manual_seed(0)
    base = torch.arange(24.0)
    tensors = {
        "plain": torch.randn(2, 3),
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "view": base[5:11].reshape(2, 3),  # of a storage that it shares
        "every_other": base[::2],
        "permuted": torch.arange(24, dtype=torch.int64).reshape(2, 3, 4).permute(2, 0, 1),
        "scalar": torch.tensor(2.6593),
        "empty": torch.empty(0, 4),
        "bf16": torch.randn(5).to(torch.bfloat16),
        "f16": torch.randn(5).to(torch.float16),
        "f64": torch.randn(2, dtype=torch.float64),
        "i32": torch.tensor([-1, 7], dtype=torch.int32),
        "u8": torch.tensor([1, 255], dtype=torch.uint8),
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),  # torch has no typed storage for it
        "f8": torch.randn(4).to(torch.float8_e4m3fn),
        "bool": torch.tensor([True, False, True]),
        "one_row": torch.arange(8.0).reshape(2, 4)[1:],
    }
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, FIXTURES / "state_dict.safetensors")
    parameter = torch.nn.Parameter(tensors["plain"])
    tagged = torch.nn.Parameter(tensors["view"])
    tagged.ds_id = 3  # attributes of a Parameter are pickled with it
    state = collections.OrderedDict({**tensors, "plain": parameter, "view": tagged})
    state["complex"] = torch.zeros(2, dtype=torch.complex64)
    state["epoch"] = 3
    state["sparse"] = torch.eye(2).to_sparse()
    state["big"] = 1 << 100
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    torch.save(state, FIXTURES / "state_dict.bin")
    torch.save({"weight": torch.ones(2)}, FIXTURES / "legacy.bin", _use_new_zipfile_serialization=False)


def write_model_directories():
    torch.manual_seed(1)
    config = LlamaConfig(hidden_size=4, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=5,
                         max_position_embeddings=16)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    state = model.state_dict()
    for folder in ("single_bin", "sharded_bin"):
        (FIXTURES / folder).mkdir(exist_ok=True)
        config.save_pretrained(FIXTURES / folder)
    torch.save(state, FIXTURES / "single_bin/pytorch_model.bin")
    save_file({name: tensor.clone() for name, tensor in state.items()}, FIXTURES / "single_bin/reference.safetensors")
    names = list(state)
    shards = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
    for file, part in shards.items():
        torch.save({name: state[name] for name in part}, FIXTURES / "sharded_bin" / file)
    index = {"metadata": {"total_size": 0}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (FIXTURES / "sharded_bin/pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


# --- files made by hand, as small as they can be: the corpus test tries every cut and every changed byte of each

def archive(data_pkl, storages=None, compress=None, name="a", byteorder=b"little"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zip_file:
        def add(entry, content):
            zip_file.writestr(zipfile.ZipInfo(f"{name}/{entry}"), content, compress_type=zipfile.ZIP_DEFLATED if compress == entry else None)
        add("data.pkl", data_pkl)
        if byteorder is not None:
            add("byteorder", byteorder)
        for key, content in (storages or {}).items():
            add(f"data/{key}", content)
    return buffer.getvalue()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def glob(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def number(value):
    return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value) if abs(value) < 1 << 31 else \
        b"\x8a\x08" + struct.pack("<q", value)


def tensor(key="0", count=4, offset=0, shape=(2, 2), strides=(2, 1), storage="FloatStorage", rebuild="_rebuild_tensor_v2"):
    identity = b"(" + text("storage") + glob("torch", storage) + text(key) + text("cpu") + number(count) + b"tQ"
    sizes = b"(" + b"".join(number(size) for size in shape) + b"t"
    steps = b"(" + b"".join(number(step) for step in strides) + b"t"
    return glob("torch._utils", rebuild) + b"(" + identity + number(offset) + sizes + steps + b"\x89" + glob("collections", "OrderedDict") + b")RtR"


def state(*values):
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in values) + b"u."


def zip64(content):
    """The same archive with its end told by a zip64 record, sizes and offsets of its last entry in 64 bits."""
    end = content.rindex(b"PK\5\6")
    entries, size, begin = struct.unpack("<HII", content[end + 10:end + 20])
    directory = bytearray(content[begin:begin + size])
    last = directory.rindex(b"PK\1\2")
    stored, plain = struct.unpack("<II", directory[last + 20:last + 28])
    offset, = struct.unpack("<I", directory[last + 42:last + 46])
    name_bytes, = struct.unpack("<H", directory[last + 28:last + 30])
    directory[last + 20:last + 28] = b"\xff" * 8
    directory[last + 42:last + 46] = b"\xff" * 4
    extra = struct.pack("<HHQQQ", 1, 24, plain, stored, offset)
    directory[last + 30:last + 32] = struct.pack("<H", len(extra))
    directory[last + 46 + name_bytes:last + 46 + name_bytes] = extra
    record = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, entries, entries, len(directory), begin)
    locator = struct.pack("<IIQI", 0x07064b50, 0, begin + len(directory), 1)
    return content[:begin] + bytes(directory) + record + locator + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)


class System:
    def __reduce__(self):
        return os.system, ("echo owned > /tmp/pixelrec-unpickled",)


def write_corpus():
    four = {"0": struct.pack("<4f", 1, 2, 3, 4)}
    sound = archive(state(("w", tensor())), four)
    overlapping = bytearray(sound)
    first = sound.index(b"PK\1\2")
    second = sound.index(b"PK\1\2", first + 4)
    overlapping[second + 42:second + 46] = struct.pack("<I", 4)  # the second entry begins inside the first
    encrypted = bytearray(sound)
    encrypted[first + 8] |= 1
    many = bytearray(sound)
    end = sound.rindex(b"PK\5\6")
    many[end + 8:end + 12] = b"\xfe\xff\xfe\xff"
    real = io.BytesIO()
    torch.save({"w": torch.ones(2), "t": torch.ones(2, 3).t()}, real)
    files = {
        "sound": sound,
        "real": real.getvalue(),
        "zip64": zip64(sound),
        "memo": archive(b"\x80\x02}q\x00" + text("w") + b"q\x01" + tensor() + b"q\x02s.", four),
        "protocol4": archive(pickle.dumps({"a": [1, (2, 3.5)], "b": b"bytes", "c": {4}, "d": 1 << 70, "e": -5}, protocol=4)),
        "parameter": archive(state(("w", glob("torch._utils", "_rebuild_parameter") + b"(" + tensor() + b"\x88" + glob("collections", "OrderedDict") + b")RtR")), four),
        "strided": archive(state(("w", tensor(shape=(2, 2), strides=(1, 2)))), four),
        "expanded": archive(state(("w", tensor(shape=(1 << 20, 1 << 20), strides=(0, 0)))), four),
        "outside": archive(state(("w", tensor(offset=1))), four),
        "huge_shape": archive(state(("w", tensor(shape=(1 << 40, 1 << 40), strides=(1, 1)))), four),
        "huge_stride": archive(state(("w", tensor(shape=(2, 2), strides=(1 << 62, 1 << 62)))), four),
        "negative": archive(state(("w", tensor(shape=(-1, 2)))), four),
        "negative_offset": archive(state(("w", tensor(offset=-1))), four),
        "short_storage": archive(state(("w", tensor(count=5))), four),
        "missing_storage": archive(state(("w", tensor(key="7"))), four),
        "path_as_key": archive(state(("w", tensor(key="../0"))), four),
        "complex": archive(state(("w", tensor(storage="ComplexFloatStorage"))), four),
        "system": archive(pickle.dumps({"w": System()}, protocol=2)),
        "foreign": archive(b"\x80\x02" + glob("deepspeed.runtime.config", "Config") + b")\x81}" + text("a") + number(1) + b"sb."),
        "memo_bomb": archive(b"\x80\x02]q\x00" + b"".join(b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)) + b"0" * 60 + b"."),
        "self_reference": archive(b"\x80\x02]q\x00h\x00a."),
        "self_state": archive(b"\x80\x02}q\x00" + text("w") + b"h\x00s."),
        "deep": archive(b"\x80\x02" + b"]" * 300 + b"a" * 299 + b"."),
        "deep_marks": archive(b"\x80\x02" + b"(" * 300 + b"."),
        "huge_text": archive(b"\x80\x04\x8d" + struct.pack("<Q", (1 << 64) - 1) + b"x."),
        "huge_slot": archive(b"\x80\x02Nr\xff\xff\xff\xff0j\xff\xff\xff\xff."),
        "no_stop": archive(b"\x80\x02}"),
        "empty_pickle": archive(b""),
        "two_left": archive(b"\x80\x02NN."),
        "underflow": archive(b"\x80\x02R."),
        "line_without_end": archive(b"\x80\x02cos"),
        "protocol0": archive(b"cos\nsystem\n(S'id'\ntR."),
        "compressed": archive(state(("w", tensor())), four, compress="data.pkl"),
        "encrypted": bytes(encrypted),
        "overlapping": bytes(overlapping),
        "many_entries": bytes(many),
        "truncated": sound[:-30],
        "big_endian": archive(state(("w", tensor())), four, byteorder=b"big"),
        "no_pickle": archive(b"", name="a/b"),
        "legacy": (FIXTURES / "legacy.bin").read_bytes(),
        "nothing": b"",
    }
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (CORPUS / name).write_bytes(content)


if __name__ == "__main__":
    FIXTURES.mkdir(parents=True, exist_ok=True)
    write_state_dict()
    write_model_directories()
    write_corpus()
