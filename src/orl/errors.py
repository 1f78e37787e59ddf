"""The errors a user can cause, each with the exit code the command line ends with.

A message is one or two lines: what is wrong, where, and what to do about it.
"""


class OrlError(Exception):
    """Base of every error that is reported in one line instead of a traceback."""

    exit_code = 1


class UsageError(OrlError):
    """Wrong command, option, setting or combination of them."""

    exit_code = 2


class ParityError(OrlError):
    """An exported file does not answer what the policy answers."""


class UnwritableError(UsageError):
    """A place cannot be written to: the disk is full, or the folder is read-only."""


class BusyError(UsageError):
    """Another process is at work in the folder."""


class DataError(OrlError):
    """A dataset or a run folder is missing, broken or does not fit what is asked of it."""

    exit_code = 3


class DivergedError(OrlError):
    """A loss, gradient or parameter stopped being finite."""

    exit_code = 4


class MissingError(OrlError):
    """An optional package, simulator or device that the request needs is not there."""

    exit_code = 5


class Interrupted(OrlError):
    """The work was stopped from outside and can be resumed by the same command."""

    exit_code = 75


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was too little memory, on the host or, as jax says it, on the device."""
    said = str(error)
    return isinstance(error, MemoryError) or ("RESOURCE_EXHAUSTED" in said and "memory" in said.lower())
