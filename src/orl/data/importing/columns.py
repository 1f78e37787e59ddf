"""Which columns play which role: patterns against the names that a file has."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

import polars as pl

from orl.data.importing.mapping import Mapping
from orl.data.importing.sources import Source
from orl.data.local import did_you_mean
from orl.errors import DataError, UsageError

FILE = "@file"  # as an episode column: the file a row comes from
_SHOWN = 20


@dataclass(frozen=True)
class Columns:
    """The chosen columns by role; `next_obs` is empty or has one column for each of `obs`, in their order."""

    obs: tuple[str, ...]
    action: tuple[str, ...]
    reward: str
    next_obs: tuple[str, ...]
    episode: tuple[str, ...]
    order: str | None
    terminated: str | None
    truncated: str | None

    def roles(self) -> dict[str, tuple[str, ...]]:
        """Role -> its columns, those without any left out."""
        listed = {role: getattr(self, role) for role in self.__dataclass_fields__}
        return {role: (of,) if isinstance(of, str) else of for role, of in listed.items() if of}

    def names(self) -> list[str]:
        """Every column that has to be read."""
        return [name for names in self.roles().values() for name in names if name != FILE]

    def values(self) -> list[str]:
        """The columns of numbers."""
        return [*self.obs, *self.action, self.reward, *self.next_obs]


def choose(mapping: Mapping, sources: list[Source]) -> Columns:
    """The columns that `mapping` names, the same in every file.

    Raises:
        UsageError: a role without columns or with too many, a pattern that fits none, a column with two roles.
        DataError: files with unlike columns, or a column of dates or objects where numbers belong.
    """
    first = sources[0]
    found = _choose(mapping, first)
    for source in sources[1:]:
        missing = [name for name in found.names() if name not in source.leaves]
        if missing:
            raise DataError(f"{source.path}: has no column '{missing[0]}', which {first.path} has")
        if _choose(mapping, source) != found:
            extra = sorted(set(_choose(mapping, source).names()) - set(found.names()))
            raise DataError(f"{source.path}: has column '{extra[0]}', which the patterns fit and {first.path} lacks")
    for source in sources:
        _check_types(source, found)
    return found


def match(patterns: tuple[str, ...], names: list[str], flag: str, where: str) -> tuple[str, ...]:
    """The names that the patterns fit, in the order of the patterns and, within one, in natural order (s_2, s_10).

    A pattern is a name, a list of patterns with commas, a glob (`s_*`), or the name of something nested, for all in it.

    Raises:
        UsageError: a pattern fits nothing, naming close columns, or two fit the same.
    """
    found: list[str] = []
    split = _split(patterns, names)
    if patterns and not split:
        raise UsageError(f"{where}: {flag} is blank; the columns are {listed(names)}")
    for pattern in split:
        inside = [name for name in names if name == pattern or name.startswith((f"{pattern}.", f"{pattern}/"))]
        fitting = inside or fnmatch.filter(names, pattern)
        if not fitting:
            close = did_you_mean(pattern, names) or f"; its columns are {listed(names)}"
            raise UsageError(f"{flag} '{pattern}' fits no column of {where}{close}")
        twice = set(fitting) & set(found)
        if twice:
            raise UsageError(f"{where}: {flag}: column '{min(twice)}' is named twice")
        found += sorted(fitting, key=natural)
    return tuple(found)


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that takes the digits in a name as a number, before any letter."""
    parts = [(part.isdecimal(), part) for part in re.split(r"(\d+)", name) if part]
    plain = [(digits, part.lstrip("0") if digits else part) for digits, part in parts]
    return [(not digits, len(part) if digits else 0, part) for digits, part in plain]  # of any number of digits


def listed(names: list[str]) -> str:
    """Names for a message, not too many."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _choose(mapping: Mapping, source: Source) -> Columns:
    names, where = list(source.leaves), str(source.path)
    for flag, given in (("--obs", mapping.obs), ("--action", mapping.action), ("--reward", mapping.reward)):
        if not given:
            raise UsageError(f"{flag} is missing; the columns of {where} are {listed(names)}")

    def one(flag: str, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        found = match((pattern,), names, flag, where)
        if len(found) > 1:
            shown = listed(list(found))
            raise UsageError(f"{where}: {flag} '{pattern}' fits {len(found)} columns ({shown}); name one")
        return found[0]

    episode = match(mapping.episode, [*names, FILE], "--episode", where)
    columns = Columns(
        obs=match(mapping.obs, names, "--obs", where),
        action=match(mapping.action, names, "--action", where),
        reward=one("--reward", mapping.reward) or "",
        next_obs=match(mapping.next_obs, names, "--next-obs", where),
        episode=episode,
        order=one("--order", mapping.order),
        terminated=one("--terminated", mapping.terminated),
        truncated=one("--truncated", mapping.truncated),
    )
    _check_roles(columns, where)
    return columns


def _check_roles(columns: Columns, where: str) -> None:
    taken: dict[str, str] = {}
    for role, names in columns.roles().items():
        for name in names:
            if name in taken:
                raise UsageError(f"{where}: column '{name}' is used twice: as {taken[name]} and as {role}")
            taken[name] = role
    if columns.next_obs and len(columns.next_obs) != len(columns.obs):
        raise UsageError(
            f"{where}: --next-obs fits {len(columns.next_obs)} columns, --obs {len(columns.obs)}; each needs its own "
            f"({listed(list(columns.obs))} / {listed(list(columns.next_obs))})"
        )


def _check_types(source: Source, columns: Columns) -> None:
    for name in columns.values():
        dtype = source.leaves[name].dtype
        if not (dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null)):
            raise DataError(f"{source.path}: column '{name}' holds {dtype}, not numbers; name another column")


def _split(patterns: tuple[str, ...], names: list[str]) -> list[str]:
    """The single patterns; a name that has a comma itself is kept whole."""
    parts = [[pattern] if pattern in names else pattern.split(",") for pattern in patterns]
    return [part.strip() for pattern in parts for part in pattern if part.strip()]
