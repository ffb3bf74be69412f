#!/usr/bin/env python3
"""Trains small tokenizers of the usual kinds and writes down the ids that Python's transformers gives for 1,000 strings.

Usage: make_cases.py FOLDER           writes strings.jsonl and CASE/{tokenizer files, ids.txt} into FOLDER
       make_cases.py --check FOLDER   compares the ids in FOLDER with what transformers gives now; exit code 1 if any differs

The Python is that of scripts/fidelity_env.sh. Everything is seeded: a second run writes the same bytes. bert-uncased/vocab.txt is not
trained; it has to be there (SOURCE.md beside it).

strings.jsonl: a line is a JSON string, or {"repeat": string, "times": n}. ids.txt: line k has the ids of string k, or, where they are
more than 100, "#count hash" with the FNV-1a hash (64 bits) of the ids as little-endian 32-bit words.
"""

import csv
import json
import os
import random
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, PreTrainedTokenizerFast

ITEMS = Path(__file__).resolve().parents[4] / "deploy/quickstart/movietweetings-100k/items.csv"

SAMPLES = {
    "latin": "The quick brown fox jumps over the lazy dog. Señor Müller's naïve café déjà-vu coöperates, won't he? I'LL say it's fine.",
    "cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак і ґанок.",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΑΣΣΟΣ σοφός",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "arabic": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश",
    "bengali": "আমি বাংলায় গান গাই", "tamil": "தமிழ் மொழி இனிமையானது", "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "chinese": "視野無限廣,窗外有藍天。我能吞下玻璃而不伤身体。", "japanese": "いろはにほへと ちりぬるを。カタカナ、ﾊﾝｶｸ", "korean": "키스의 고유조건은 입술끼리 만나야 하고",
    "georgian": "სწრაფი ყავისფერი მელა", "armenian": "Արագ շագանակագույն աղվեսը", "ethiopic": "ሰላም ለዓለም", "khmer": "សួស្តីពិភពលោក",
    "vietnamese": "Tiếng Việt có dấu thanh phức tạp, đấy nhé.", "turkish": "İstanbul'da ışık, IĞDIR ile ığdır", "math": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β ≈ ½ ² ⁵ ﬁﬂ ℌ",
    "emoji": "😀😃 👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ ☺︎ 🏳️‍🌈 1️⃣ 🫠", "decomposed": "e\u0301 a\u0308 o\u0302\u0323 n\u0303 \u1112\u1161\u11ab 가",
    "controls": "a\x00b\x01c\x07d\x1be\x7ff\x85g\u200bh\u200di\ufeffj\u202ek\ufffdl\u2028m\u2029n\xa0o\u3000p\u00adq",
    "spaces": "  two   three    four\ttab\n\nlines\r\nwindows \r old \x0b\x0c end   ", "numbers": "1 12 123 1234 12345 3.14159 1e-10 0x1F 1,000,000 ١٢٣ ४५६ Ⅻ ③",
    "private": "\ue000\uf8ff \U000f0000 \U0010ffff", "rare": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎𠜱 𒀀 🀄", "code": "for (int i=0;i<n;++i){a[i]+=\"x\"; /* c */ } // <html>&amp;</html>",
    "special": "<s> </s> <unk> <pad> [CLS] [SEP] [MASK] [UNK] <|endoftext|> <|im_start|>user <|begin_of_text|>x<bos> <0x0A> ▁ ## ##ing <extra>  <extra> y",
}


def strings():
    """1,000 of them: each sample, cuts and mixtures of samples, titles, random code points, very long texts."""
    rng = random.Random(20240601)
    samples = list(SAMPLES.values())
    found = ["", " ", "\n", "\x00", "a", "é", "▁", "😀", " a", "a ", "  a  ", "<s>", "</s>a", "[CLS]", "<|endoftext|>", *samples]
    with open(ITEMS, encoding="utf-8", newline="") as file:
        titles = [row["title"] for row in csv.DictReader(file)]
    found += [f"title: {title}" for title in rng.sample(titles, 200)]
    while len(found) < 700:
        text = rng.choice(samples)
        start = rng.randrange(len(text))
        found.append(text[start:start + rng.randrange(1, 25)] + rng.choice(["", " ", "\n", ""]) + rng.choice(samples)[:rng.randrange(0, 10)])
    while len(found) < 990:
        limit = rng.choice([0x80, 0x250, 0x3000, 0xA000, 0x20000])
        points = [p for p in (rng.randrange(limit) for _ in range(rng.randrange(1, 16))) if not 0xD800 <= p < 0xE000]
        found.append("".join(map(chr, points)))
    long = [("word ", 4000), (" ", 20000), ("a", 20000), ("天", 5000), ("😀", 3000), ("\n", 5000), ("1", 5000), ("é! ", 3000), (" x\n\n  y", 2000), ("<s>", 1000)]
    return found + [{"repeat": text, "times": times} for text, times in long]


def text_of(entry):
    return entry["repeat"] * entry["times"] if isinstance(entry, dict) else entry


def corpus():
    with open(ITEMS, encoding="utf-8", newline="") as file:
        return [f"{row['title']} {row['tag']}" for row in csv.DictReader(file)][:2000] + list(SAMPLES.values()) * 3


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level(split, special, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    parts = [pre_tokenizers.Split(Regex(split), "isolated")] if split else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=special, show_progress=False)
    return trained(tokenizer, trainer)


def gpt2():
    tokenizer = byte_level(None, [])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def qwen2():
    split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer = byte_level(split, [])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer, {"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def llama3():
    split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer = byte_level(split, [], ignore_merges=True)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", special_tokens=[("<|begin_of_text|>", bos)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}


def llama2():
    specials = ["<unk>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training only
    trained(tokenizer, trainers.BpeTrainer(vocab_size=900, special_tokens=[*specials, *(f"<0x{b:02X}>" for b in range(256))], limit_alphabet=150, show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["pre_tokenizer"] = None
    data["added_tokens"] = data["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    tokenizer.add_tokens([AddedToken("<extra>", lstrip=True, rstrip=True, normalized=False)])
    return tokenizer, {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trained(tokenizer, trainers.UnigramTrainer(vocab_size=700, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.enable_truncation(8)  # what a file was last used for: not for us
    return tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
                       "added_tokens_decoder": {"700": {"content": "<extra>", "lstrip": False, "rstrip": True, "normalized": True, "single_word": False, "special": False}}}


CASES = {"gpt2": gpt2, "qwen2": qwen2, "llama3": llama3, "llama2": llama2, "unigram": unigram}


def reference(folder):
    """Rules that a class of transformers 5 builds anew from its vocabulary are those of the file here: tokenizer.json is run as it is written."""
    if not (folder / "tokenizer.json").exists():
        return BertTokenizer.from_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def digest(ids):
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"#{len(ids)} {value:016x}"


def lines(folder, texts):
    tokenizer = reference(folder)
    for text in texts:
        ids = tokenizer(text, truncation=False, padding=False)["input_ids"]
        yield " ".join(map(str, ids)) if len(ids) <= 100 else digest(ids)


def write(folder):
    entries = strings()
    assert len(entries) == 1000
    (folder / "strings.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="ascii")
    for name, make in CASES.items():
        (folder / name).mkdir(exist_ok=True)
        tokenizer, config = make()
        (folder / name / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        (folder / name / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    for case in sorted([*CASES, "bert-uncased"]):
        (folder / case / "ids.txt").write_text("\n".join(lines(folder / case, map(text_of, entries))) + "\n", encoding="ascii")


def check(folder):
    entries = [json.loads(line) for line in (folder / "strings.jsonl").read_text(encoding="ascii").splitlines()]
    wrong = 0
    for case in sorted([*CASES, "bert-uncased"]):
        expected = (folder / case / "ids.txt").read_text(encoding="ascii").split("\n")
        differing = [i for i, line in enumerate(lines(folder / case, map(text_of, entries))) if line != expected[i]]
        wrong += len(differing)
        print(f"tokenizer {case:<13} {len(entries)} strings, {len(differing)} differ" + (f" (first: line {differing[0] + 1})" if differing else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        sys.exit(check(Path(sys.argv[2])))
    write(Path(sys.argv[1]))
