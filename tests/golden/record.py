"""Write values.json anew. Only for a change that is meant to alter results: say in its commit which ones, and why.

    .venv/bin/python tests/golden/record.py

The programs here are compiled with all of XLA's optimisations, those of the tests without most of them: so the values
are what a user's run computes, and the tests' tolerances have to hold for another order of the same sums.
"""

from __future__ import annotations

import json
import os


def main() -> None:
    """Compute every case on the CPU and write its digest, a name a line."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    from cases import CASES, VALUES
    from digest import digest

    blocks = []
    for case, compute in CASES.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in digest(compute()).items()]
        blocks.append(f"{json.dumps(case)}: {{\n" + ",\n".join(lines) + "\n}")
    VALUES.write_text("{\n" + ",\n".join(blocks) + "\n}\n")


if __name__ == "__main__":
    main()
