"""Fetching a Minari dataset from its hub, or saying plainly why not and what to do instead."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from orl.data.local import data_folder, datasets_path
from orl.errors import DataError, MissingError

TIMEOUT = 6.0  # seconds to find out whether the hub answers
_HOSTS = {"hf": "https://huggingface.co", "gcp": "https://storage.googleapis.com"}


def download_minari(dataset_id: str) -> Path:
    """Fetch `dataset_id` into the local datasets folder, unless it is there; returns its folder.

    Raises:
        DataError: not an id, or the hub does not have it. MissingError: the hub or Minari's hub client is not there.
    """
    folder = data_folder(dataset_id)
    if (folder / "metadata.json").is_file():
        return folder.parent
    host = hub_address()
    if not reachable(host):
        raise MissingError(f"cannot fetch {dataset_id}: {host} does not answer; {_by_hand(dataset_id)}")
    import minari

    try:
        minari.download_dataset(dataset_id)
    except ImportError:
        raise MissingError(
            f"cannot fetch {dataset_id}: Minari's hub client is missing; pip install 'minari[hf,gcs]', or "
            f"{_by_hand(dataset_id)}"
        ) from None
    except ValueError as error:
        raise DataError(f"cannot fetch {dataset_id}: {_line(error)}") from None
    except Exception as error:  # the hub's clients raise errors of their own, of several packages
        raise MissingError(f"cannot fetch {dataset_id}: {_line(error)}; {_by_hand(dataset_id)}") from None
    return folder.parent


def hub_address() -> str:
    """Address of the hub that Minari is set to use (``MINARI_REMOTE``, ``HF_ENDPOINT``).

    Raises:
        DataError: Minari is set to use another kind of hub.
    """
    kind = os.environ.get("MINARI_REMOTE", "hf://").split("://")[0]
    if kind not in _HOSTS:
        raise DataError(f"MINARI_REMOTE starts with '{kind}'; known are {', '.join(_HOSTS)}")
    return os.environ.get("HF_ENDPOINT", _HOSTS["hf"]) if kind == "hf" else _HOSTS[kind]


def reachable(address: str, timeout: float = TIMEOUT) -> bool:
    """Whether anything answers at `address` within `timeout` seconds, through the machine's proxies if it has any."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(address, timeout=timeout).close()
            answered.set()
        except urllib.error.HTTPError:  # an answer all the same
            answered.set()
        except (OSError, ValueError):
            pass

    # In a thread, for looking up a name can hang far beyond the socket's timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def _by_hand(dataset_id: str) -> str:
    return (
        f"copy the dataset's folder to {datasets_path() / dataset_id} by hand, or set MINARI_DATASETS_PATH to a "
        "folder that has it"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
