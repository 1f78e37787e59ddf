"""`make fuzz`: every format's corpus through the reader, a line of progress, and a table.

    python tests/fuzz/fuzz.py [--files 500] [--seed 0] [--format NAME ...] [--show FORMAT SEED FOLDER]

A case is its format and its seed alone: `--show hdf5 17 /tmp/case` writes its files.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from campaign import Verdict, reader, run_case
from corpus import FORMATS, broken

MEGABYTE = 2**20


def summary(verdicts: dict[str, list[Verdict]]) -> str:
    """A line for each format: files, exit codes of all commands together, worst time, most memory, faults."""
    lines = [f"{'format':<16} {'files':>5} {'code 0':>7} {'code 2':>7} {'code 3':>7} {'others':>7} {'worst':>7} {'most memory':>12} {'faults':>7}"]
    for kind, found in verdicts.items():
        codes = Counter(code for verdict in found for code in verdict.codes.values())
        others = sum(count for code, count in codes.items() if code not in (0, 2, 3))
        worst, most = max(each.seconds for each in found), max(each.bytes for each in found) / MEGABYTE
        faults = sum(bool(each.fault) for each in found)
        lines.append(
            f"{kind:<16} {len(found):>5} {codes[0]:>7} {codes[2]:>7} {codes[3]:>7} {others:>7} {worst:>5.1f} s "
            f"{most:>9.0f} MB {faults:>7}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the corpus; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500, help="of each format")
    parser.add_argument("--seed", type=int, default=0, help="of the first file; the others count up")
    parser.add_argument("--format", action="append", choices=list(FORMATS))
    parser.add_argument("--show", nargs=3, metavar=("FORMAT", "SEED", "FOLDER"))
    options = parser.parse_args()
    verdicts: dict[str, list[Verdict]] = {}
    with reader() as (child, runs):
        if options.show:
            return show(*options.show, runs)
        for kind in options.format or FORMATS:
            verdicts[kind] = []
            began = time.monotonic()
            for seed in range(options.seed, options.seed + options.files):
                verdicts[kind].append(verdict := run_case(child, kind, seed, runs))
                if verdict.fault:
                    print(f"\r{kind} {seed} ({verdict.how}): {verdict.fault}", flush=True)
                done, each = seed - options.seed + 1, time.monotonic() - began
                print(f"\r{kind}: {done}/{options.files}, {done / each:.1f}/s ", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    print(summary(verdicts))
    print(f"the reader was started {child.starts} time{'s' * (child.starts > 1)}")
    return int(any(verdict.fault for found in verdicts.values() for verdict in found))


def show(kind: str, seed: str, folder: str, runs: dict[str, dict[str, bytes]]) -> int:
    """Write the files of one case."""
    case = broken(kind, int(seed), runs)
    for name, content in case.files.items():
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(content)
    print(f"{case.how}: {folder}/{case.main}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
