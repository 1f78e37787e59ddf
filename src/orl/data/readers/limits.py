"""How much a file may declare: what it cannot hold, or this machine cannot, is refused before room is made for it."""

from __future__ import annotations

from orl.errors import DataError
from orl.host_memory import free_memory

BOMB_BYTES = 2**28  # below this an array of one value everywhere, which is stored in almost nothing, does no harm
BOMB_RATIO = 1000  # about what deflate makes of such an array, and more than it makes of any log


def refuse_bomb(where: str, declared: int, stored: int) -> None:
    """Refuse `declared` bytes of an array of which the file holds `stored`.

    Raises:
        DataError: the array is large and almost nothing of it is stored.
    """
    if declared > BOMB_BYTES and declared > BOMB_RATIO * max(stored, 1):
        raise DataError(f"{where} declares {declared:,} bytes but stores {stored:,}; the file is broken")


class Room:
    """What arrays that are read whole may still take of this machine's free memory, over all of a file's arrays.

    One stored array can be declared under many names, so it is their sum that counts.
    """

    def __init__(self) -> None:
        self._free, self._taken = free_memory(), 0

    def take(self, where: str, declared: int) -> None:
        """Set `declared` bytes aside.

        Raises:
            DataError: they do not fit beside what was taken before.
        """
        self._taken += declared
        if self._free is not None and self._taken > self._free:
            raise DataError(
                f"{where} brings what is to be read to {self._taken:,} bytes, and this machine has {self._free:,} "
                "free; read a smaller file, or use a larger machine"
            )
