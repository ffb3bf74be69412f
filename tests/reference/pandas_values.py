#!/usr/bin/env python3
"""What pandas makes of columns of text data, and what the reference then writes into an item's text (rule X2).

Usage: python -m venv v && v/bin/pip install pandas==3.1.1 && v/bin/python tests/reference/pandas_values.py > tests/worker/data/pandas_values.json

Each case is a table: columns of fields as they stand in a CSV, and the values as the reference puts them into a text, "" for
those that it leaves out. tests/worker/data/pandas_values_test.cc compares this project's own reading with them.
"""

import csv
import io
import itertools
import json
import random

import pandas

COLUMNS = [
    # Whole numbers, missing ones, zeros.
    ["1999", "007", "0"], ["1999", ""], ["5", "NA", "0"], ["5", "NA", "0", "1e3"], ["0", ""], ["00", "01"], ["-0", "1"], ["+5", "1"], ["NA", ""],
    # Text beside numbers.
    ["5", "five", "0"], ["2020-01-01", "2021-02-03"], ["2020", "2021-02-03"], ["1_000", "2"], ["1,000", "2"], ["5%", "2"], ["1 2", "3"],
    ["0x10", "2"], ["0x1p3", "1"], ["1d5", "2"], ["1f", "2"], ["--5", "1"], ["+-5", "1"], ["-", "1"], ["+", "1"], [".", "2"], ["1e", "2"], ["e5", "2"],
    ["1.2.3", "2"], ["1e1.5", "2"], ["\uff11\uff12", "3"], ["a", "None"], ["a", "NULL"], ["a", " NA"],
    # Truth values.
    ["True", "false", ""], ["TRUE", "FALSE", "True"], ["tRue", "False"], ["True", "no"], ["True", "1"], ["True", "0.5"], ["true", "NA", "FALSE"],
    # Blanks around numbers.
    [" 5", "6"], ["5 ", "6"], ["\t5", "6"], [" 5", "x"], [" 1.5 ", "2"], ["5 ", "1.5"], ["", "5 "], ["1e5 ", "2"],
    # Infinite and not a number.
    ["inf", "1"], ["-inf", "1"], ["+Infinity", "1"], ["iNf", "1"], ["infinit", "1"], ["NAN", "1"], ["+nan", "1"], ["-nan", "1"], [" nan", "1"], ["nan(1)", "1"],
    ["1e400", "2"], ["1e-400", "2"],
    # Floats in Python's spelling.
    ["1.", "2"], [".5", "2"], ["5.0", "6.0"], ["0.0", "1"], ["1e5", "2"], ["1e-5", "2"], ["0.0001", "1.0"], ["1e16", "2"], ["1e15", "2"], ["0.1", "0.30000000000000004"],
    ["123456789.123456789", "1"], ["3.14159265358979323846", "1"], ["9007199254740993", ""], ["2.2250738585072014e-308", "4.9e-324"],
    # Around 64 bits: signed, unsigned, neither.
    ["9223372036854775807", "1"], ["9223372036854775807", ""], ["9223372036854775808", "1"], ["9223372036854775808", ""], ["9223372036854775808", "-1"],
    ["9223372036854775808", "-0.5"], ["-5", "9223372036854775808", "0.5"], ["9223372036854775808", "0.5"], ["9223372036854775808", "NA", "0.5"],
    ["-9223372036854775808", "1"], ["-9223372036854775809", "1"], ["-9223372036854775809", "0.5"], ["0.5", "-9223372036854775809"],
    ["18446744073709551615", "1"], ["18446744073709551615", "0.5"], ["18446744073709551616", "1"], ["18446744073709551616", "0.5"], ["0.5", "18446744073709551616"],
    ["12345678901234567890123", ""], ["+9223372036854775808", "1"], [" 9223372036854775808", "1"], ["9223372036854775808 ", "1"], ["99999999999999999999 ", "1"],
]  # fmt: skip
# Tables of two columns: their transpose has one type if both are of numbers.
BESIDE = [["1", "2"], ["1.5", "2"], ["9223372036854775808", "1"], ["3", ""], ["True", "False"], ["a", "b"], ["", "NA"], ["1e3", "2"]]


def random_columns(count):
    draw = random.Random(5)
    for _ in range(count):
        yield [repr(draw.uniform(-1, 1) * 10 ** draw.randint(-12, 20)) for _ in range(3)]
        yield [str(draw.randint(-(10 ** draw.randint(1, 20)), 10 ** draw.randint(1, 20))) for _ in range(3)]


def printed(columns):
    """As the reference reads its information file and writes `key: value`."""
    text = io.StringIO()
    writer = csv.writer(text)
    keys = [f"key{i}" for i in range(len(columns))]
    writer.writerow(["item_id", *keys])
    for row, fields in enumerate(zip(*columns)):
        writer.writerow([f"item{row}", *fields])
    text.seek(0)
    items = pandas.read_csv(text, dtype={"item_id": str}).set_index("item_id").T.to_dict()
    values = [[items[f"item{row}"][key] for row in range(len(columns[0]))] for key in keys]
    return [[str(value) if value and str(value) != "nan" else "" for value in column] for column in values]


def main():
    # A column of text beside a single one keeps the rows whole where the column's own field is empty.
    tables = [[column, ["text"] * len(column)] for column in [*COLUMNS, *random_columns(20)]]
    tables += [list(pair) for pair in itertools.product(BESIDE, BESIDE)]
    cases = [{"columns": table, "printed": printed(table)} for table in tables]
    print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")


if __name__ == "__main__":
    main()
