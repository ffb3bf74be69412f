#!/usr/bin/env python3
"""The table "rule, tests, measured difference" of docs/fidelity.md, made from the tests' sources and from what the tests print.

Usage: fidelity_table.py ROOT --write TESTS_DIR    run the tests that measure (minutes) and replace the table by a new one
       fidelity_table.py ROOT --check              exit 1 where the page and the tests' sources disagree; that the measured
                                                   differences stay below what the page says is asserted by the tests themselves
"""

import os
import re
import subprocess
import sys
from pathlib import Path

BEGIN, END = "<!-- table of rules: begin -->", "<!-- table of rules: end -->"

# What each rule is about, in the words of this page.
RULES = {
    "D1": "columns by name; by position in compat", "D2": "item_data comes first in the vocabulary",
    "D3": "items numbered by first appearance", "D4": "events by time, stable", "D5": "users in sorted order",
    "D6": "the last two events are targets", "D7": "long histories cut into sequences", "D8": "one sequence per user",
    "T1": "positives of a sample", "T2": "inputs and targets", "T3": "negatives of a sample", "T4": "num_negatives = K",
    "T5": "sampler", "X1": "an item's text", "X2": "missing fields", "X3": "items without text", "X4": "token ids, cut",
    "X5": "embedding token or mean pooling", "X6": "positions", "X7": "packing",
    "M1": "two models, one embedding token", "M2": "attention inside a segment, causal", "M3": "the item's embedding",
    "M4": "the user model", "M5": "norm, rotary positions, SwiGLU, grouped queries", "M6": "what isn't trained",
    "N1": "logit scale", "N2": "cosines", "N3": "negatives of all ranks, with gradient", "N4": "false negatives filtered",
    "N5": "mean of the loss", "N6": "logged accuracies", "N7": "where gradients flow",
    "P1": "rounding to bf16", "P2": "fp32 masters of rounded weights",
    "O1": "AdamW, decay on everything, factors by prefix", "O2": "clipping", "O3": "schedule", "O4": "warm-up",
    "O5": "selection and early stopping", "V1": "every item encoded", "V2": "the history that is read", "V3": "scores and masking",
    "V4": "Recall and NDCG", "V5": "users over ranks", "V6": "ties",
    "F1": "the reference's weight file", "F2": "DeepSpeed's ZeRO folders",
    "W1": "order of an epoch", "W2": "negatives from a counter", "W3": "mean over the global batch", "W4": "fp32 loss",
    "W5": "clipping, non-finite steps", "W6": "CSV as written", "W7": "short users", "W8": "validation loss", "W9": "ranks",
    "W10": "global batch", "W11": "K negatives a step", "W12": "micro-steps", "W13": "no text, no token", "W14": "scale clamped",
    "W15": "cold items", "W16": "gradients summed over ranks",
}  # fmt: skip

# Programs that print measured differences.
MEASURING = [
    ("model_test", "Decoder.*"),
    ("train_test", "WorldSizeTest.*:CompatLoss.*:LossCurve.*:UnreadDecayTest.*:ZeroTest.*Rule*:GradCacheTest.*:Bf16Test.*Fp32*"),
]
FIGURES_HEAD = "| rule | figure | difference | at most |"

TEST = re.compile(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", re.MULTILINE)
IN_NAME = re.compile(r"Rules?((?:[A-Z]\d{1,2})+)$")
ID = re.compile(r"\b([DTXMNPOVFW]\d{1,2})\b")


def comment_ids(text):
    return {rule for comment in re.findall(r"//.*", text) for rule in ID.findall(comment)}


def name_ids(name):
    """Of FilterHidesCopiesRuleN4, RulesN1P2, Texts_X1_X2."""
    after_word = IN_NAME.search(name)
    return set(re.findall(r"[A-Z]\d+", after_word.group(1)) if after_word else []) | set(name.split("_"))


def tests_by_rule(root):
    """rule -> ["Suite.Name", ...]: rules in a test's name, in the comment before it and in the comments of its body."""
    found = {rule: set() for rule in RULES}
    for path in sorted((root / "tests").rglob("*.cc")):
        source = path.read_text()
        tests = list(TEST.finditer(source))
        file_rules = comment_ids(source[: source.find("#include")])
        for test, following in zip(tests, [*tests[1:], None]):
            end = following.start() if following else len(source)
            body = source[test.end() : source.find("\n}\n", test.end(), end)]
            before = re.search(r"((?://.*\n)*)$", source[: test.start()]).group(1)
            rules = (comment_ids(body) | comment_ids(before) | name_ids(test.group(2))) & RULES.keys()
            # A file about one or two rules names them once, at its top.
            if not rules and len(file_rules) <= 2:
                rules = file_rules
            for rule in rules & RULES.keys():
                found[rule].add(f"{test.group(1)}.{test.group(2)}")
    return found


def measurements(tests_dir):
    """[(rule, what, measured, tolerance), ...] as the tests print them."""
    rows = []
    for program, tests in MEASURING:
        run = subprocess.run(
            [tests_dir / program, f"--gtest_filter={tests}"], capture_output=True, text=True, env={**os.environ, "PIXELREC_LONG_TESTS": "1"}
        )
        if run.returncode != 0:
            sys.exit(f"error: {program} failed\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        for line in run.stdout.splitlines():
            if line.startswith("fidelity "):
                rule, what, measured, tolerance = (part.strip() for part in line.removeprefix("fidelity ").split("|"))
                rows.append((rule, what, measured, tolerance))
    return rows


def arguments(call):
    """The top-level arguments of the C++ call whose text begins after its bracket."""
    parts, depth, begin = [], 0, 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[()\[\]{},]', call):
        if token[0] == "," and depth == 0 or token[0] == ")" and depth == 0:
            parts.append(call[begin : token.start()].strip())
            begin = token.end()
            if token[0] == ")":
                return parts
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token[0], 0)
    return parts


def asserted(root):
    """[(rule, regular expression of the figure's words, tolerance), ...]: what the tests that measure say in their sources."""
    found = []
    for path in sorted((root / "tests").rglob("*.cc")):
        source = path.read_text()
        for call in re.finditer(r"ExpectWithin\(", source):
            rule, what, _, tolerance = arguments(source[call.end() :])
            words = re.split(r'"((?:[^"\\]|\\.)*)"', what)  # code, literal, code, ...
            pattern = "".join(re.escape(part) if i % 2 else ".*" if part.strip(" +\n") else "" for i, part in enumerate(words))
            found.append((rule.strip('"'), pattern, f"{float(tolerance):g}"))
    return found


def disagreements(page_rows, asserted_figures):
    """Figures of the page that no test asserts, and the other way round."""
    def fits(row, figure):
        return row[0] == figure[0] and re.fullmatch(figure[1], row[1]) and row[3] == figure[2]

    for row in page_rows:
        if not any(fits(row, figure) for figure in asserted_figures):
            yield "only in docs/fidelity.md: " + " | ".join(row)
    for figure in asserted_figures:
        if not any(fits(row, figure) for row in page_rows):
            yield "only in the tests:        " + " | ".join(figure)


def rules_table(found):
    lines = ["| rule | about | tests that name it |", "|---|---|---|"]
    for rule, about in RULES.items():
        tests = sorted(found[rule])
        lines.append(f"| {rule} | {about} | {', '.join(f'`{t}`' for t in tests) if tests else 'none'} |")
    return "\n".join(lines)


def figures_table(measured):
    return "\n".join([FIGURES_HEAD, "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in measured)])


def split_page(page):
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:begin], page[begin:end].strip(), page[end:]


def main():
    root, mode = Path(sys.argv[1]), sys.argv[2]
    path = root / "docs/fidelity.md"
    before, current, after = split_page(path.read_text())
    rules = rules_table(tests_by_rule(root))
    if mode == "--write":
        path.write_text(f"{before}\n\n{rules}\n\n{figures_table(measurements(Path(sys.argv[3])))}\n\n{after}")
        return
    current_rules, current_figures = current.split(f"\n\n{FIGURES_HEAD}\n")
    old, new = set(current_rules.splitlines()), set(rules.splitlines())
    differences = [f"only in docs/fidelity.md: {line}" for line in sorted(old - new)]
    differences += [f"only from the tests:      {line}" for line in sorted(new - old)]
    page_rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in current_figures.splitlines()[1:]]
    differences += disagreements(page_rows, asserted(root))
    if differences:
        print("\n".join(differences))
        sys.exit("error: docs/fidelity.md is out of date; run tests/structure/fidelity_table.py ROOT --write TESTS_DIR")


if __name__ == "__main__":
    main()
