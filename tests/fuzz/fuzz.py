"""`make fuzz`: every format's corpus through the reader, a line of progress, and a table.

    python tests/fuzz/fuzz.py [--files 500] [--seed 0] [--format NAME ...] [--show FORMAT SEED FOLDER]

A case is its format and its seed alone: `--show hdf5 17 /tmp/case` writes its files.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from campaign import Reader, Verdict, reader, run_case, run_sound
from corpus import FORMATS, broken

MEGABYTE = 2**20


def summary(verdicts: dict[str, list[Verdict]]) -> str:
    """A line for each format: files, exit codes of all commands together, worst time, most memory, faults."""
    names = ("files", "code 0", "code 2", "code 3", "others", "worst", "most memory", "faults")
    lines = [f"{'format':<16}" + "".join(f"{name:>12}" for name in names)]
    for kind, found in verdicts.items():
        codes = Counter(code for verdict in found for code in verdict.codes.values())
        others = sum(count for code, count in codes.items() if code not in (0, 2, 3))
        worst, most = max(each.seconds for each in found), max(each.bytes for each in found) / MEGABYTE
        faults = sum(bool(each.fault) for each in found)
        cells = (len(found), codes[0], codes[2], codes[3], others, f"{worst:.1f} s", f"{most:.0f} MB", faults)
        lines.append(f"{kind:<16}" + "".join(f"{cell:>12}" for cell in cells))
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
            verdicts[kind] = list(progress(kind, child, range(options.seed, options.seed + options.files), runs))
    print(summary(verdicts))
    print(f"the reader was started {child.starts} time{'s' * (child.starts > 1)}")
    return int(any(verdict.fault for found in verdicts.values() for verdict in found))


def progress(kind: str, child: Reader, seeds: range, runs: dict[str, dict[str, bytes]]) -> Iterator[Verdict]:
    """The verdicts of a format one by one; each fault on a line of its own."""
    began = time.monotonic()
    if fault := run_sound(child, kind, runs).fault:
        raise SystemExit(f"{kind}: {fault}")
    for done, seed in enumerate(seeds, start=1):
        verdict = run_case(child, kind, seed, runs)
        if verdict.fault:
            print(f"{kind} {seed} ({verdict.how}): {verdict.fault}", flush=True)
        rate = done / max(time.monotonic() - began, 1e-9)
        print(f"\r{kind}: {done}/{len(seeds)}, {rate:.1f}/s ", end="", file=sys.stderr, flush=True)
        yield verdict
    print(file=sys.stderr)


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
