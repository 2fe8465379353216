#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""records.py FORMAT FILE [TYPE FIELD[,FIELD...]]

Checks that a file of memsift's json, ndjson or csv keeps to what is promised of every such file:
it parses, the first record is meta and the last summary, addresses and times are written as they
should be, and the coverage of each target adds up. With TYPE and FIELD, prints that field of each
record of the type; several fields stand side by side, with tabs between.
"""

import csv
import io
import json
import re
import sys

ADDRESSES = {"address", "start", "end", "base", "region_start", "region_end"}
SIZES = {"size", "rss", "resident", "total", "filtered", "absent", "read", "unreadable",
         "skipped", "pid", "hits", "bytes_read"}
PARTS = ("filtered", "absent", "read", "unreadable", "skipped")
UNREADABLE = {"guard", "no-access", "vanished", "io-error"}


def no_constant(name):
    raise ValueError(name + " is not JSON")


def no_repeats(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a field twice in {names}"
    return dict(pairs)


def parse_json(text):
    return json.loads(text, parse_constant=no_constant, object_pairs_hook=no_repeats)


def read_ndjson(text):
    assert text.endswith("\n"), "the last line is not whole"
    return [parse_json(line) for line in text.split("\n")[:-1]]


def from_csv(name, cell):
    if cell == "":
        return None
    if cell in ("true", "false"):
        return cell == "true"
    if cell[0] in "[{" and name in ("arguments", "gaps"):
        return parse_json(cell)
    if name in SIZES:
        return int(cell)
    return cell


def read_csv(text):
    records, header = [], None
    for row in csv.reader(io.StringIO(text, newline=""), strict=True):
        if not row:
            header = None
        elif header is None:
            header = row
            assert header[0] == "type", f"not a header: {header}"
        else:
            assert len(row) == len(header), f"{len(row)} cells for {len(header)} columns: {row}"
            records.append({name: from_csv(name, cell) for name, cell in zip(header, row)})
    return records


def check_field(name, value):
    if value is None:
        return
    if name in ADDRESSES:
        assert re.fullmatch("0x[0-9a-f]+", value), f"{name}: {value}"
    elif name in SIZES:
        assert isinstance(value, int) and value >= 0, f"{name}: {value}"
    elif name in ("started", "ended"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value), f"{name}: {value}"
    elif name in ("bytes", "context"):
        assert re.fullmatch("([0-9a-f]{2})*", value), f"{name}: {value}"


def check_coverage(record):
    parts = sum(record[part] for part in PARTS)
    assert record["total"] == parts, f"{record['total']} is not {parts}: {record}"
    assert record["status"] in ("complete", "partial"), record
    sums, last = [0, 0], 0
    for gap in record["gaps"]:
        start, end = int(gap["start"], 16), int(gap["end"], 16)
        assert last <= start < end, f"gaps out of order: {record}"
        sums[gap["reason"] not in UNREADABLE] += end - start
        last = end
    if not record["gaps_dropped"]:
        assert sums == [record["unreadable"], record["skipped"]], f"gaps {sums}: {record}"


def check(records):
    assert records[0]["type"] == "meta" and records[0]["schema"] == "memsift/1", records[0]
    assert records[-1]["type"] == "summary", records[-1]
    assert [r["type"] for r in records].count("meta") == 1, "meta twice"
    for record in records:
        for name, value in record.items():
            check_field(name, value)
        if record["type"] == "coverage":
            check_coverage(record)


def show(value):
    return value if isinstance(value, str) else json.dumps(value)


def main():
    text = open(sys.argv[2], encoding="utf-8", newline="").read()
    read = {"json": lambda t: parse_json(t)["records"], "ndjson": read_ndjson, "csv": read_csv}
    records = read[sys.argv[1]](text)
    check(records)
    if len(sys.argv) > 3:
        names = sys.argv[4].split(",")
        for record in records:
            if record["type"] == sys.argv[3]:
                print("\t".join(show(record[name]) for name in names))


main()
