"""The table of algorithms. A new one is one file with an `ENTRY`, and one line here."""

from orl.algorithms import bc, combo, cql, mbpo, mopo, morel
from orl.algorithms.base import Entry

ALGORITHMS: dict[str, Entry] = {
    "bc": bc.ENTRY,
    "cql": cql.ENTRY,
    "mbpo": mbpo.ENTRY,
    "mopo": mopo.ENTRY,
    "morel": morel.ENTRY,
    "combo": combo.ENTRY,
}
