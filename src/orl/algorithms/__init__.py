"""The table of algorithms. A new one is one file with an `ENTRY`, and one line here."""

from orl.algorithms import bc, combo, cql, mbpo, mobile, mobrac, mopo, morel, rebrac
from orl.algorithms.base import Entry

ALGORITHMS: dict[str, Entry] = {
    "bc": bc.ENTRY,
    "cql": cql.ENTRY,
    "rebrac": rebrac.ENTRY,
    "mbpo": mbpo.ENTRY,
    "mopo": mopo.ENTRY,
    "morel": morel.ENTRY,
    "combo": combo.ENTRY,
    "mobile": mobile.ENTRY,
    "mobrac": mobrac.ENTRY,
}
