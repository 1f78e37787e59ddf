"""`python -m benchmarks [--quick] [--json] [--only NAME]`"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from itertools import chain

import jax

from benchmarks import bench_sequence, bench_training
from benchmarks.harness import Result, matmul_gflops


def row(line: Result) -> str:
    """One benchmark as a line of the table."""
    rate = f"{line.rate:12,.{0 if line.rate >= 100 else 2}f} {line.unit}/s"
    return (
        f"{line.name:34s} {rate}   median {line.median_ms:9.2f} ms (iqr {line.iqr_ms:.2f})"
        f"   compile {line.compile_s:5.1f} s   {100 * line.share:5.1f}% of matmul   {line.workload}"
    )


def main() -> None:
    """Run every benchmark and print a table, or one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="small workloads, for CI")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", choices=["training", "sequence"], help="one file's benchmarks")
    options = parser.parse_args()
    rate = matmul_gflops()
    results = []
    files = {"training": bench_training, "sequence": bench_sequence}
    for line in chain(
        *(file.benchmarks(options.quick) for name, file in files.items() if options.only in (None, name))
    ):
        results.append(line)
        print(row(line), file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        machine = {"device": jax.devices()[0].device_kind, "machine": platform.machine(), "jax": jax.__version__}
        document = {"schema": 1, **machine, "matmul_gflops": rate, "results": [line.as_dict() for line in results]}
        print(json.dumps(document, indent=2))
    else:
        print(f"float32 matrix product: {rate:.0f} GFLOP/s on {jax.devices()[0].device_kind}, jax {jax.__version__}")


if __name__ == "__main__":
    main()
