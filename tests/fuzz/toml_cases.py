"""Broken settings: files for `--config`, `--candidates` and `--mapping`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import sound_files as sound
from fuzz_case import Broken, whole_or_bytes
from mutations import Rng, of_text, of_tree, written

SETTINGS = """seed = 3
history = 1
[model]
hidden = [8, 8]
weight_decay = [0.0, 1e-5, 0.0]
members = 3
elites = 2
max_epochs = 4
learning_rate = 1e-3
termination = "auto"
"""
CANDIDATES = """[shared]
history = "auto"
model_seed = 1
[shared.model]
hidden = [8]
weight_decay = [0, 0]
[shared.agent]
hidden = [8]
[budget]
model = 0.3
[[candidate]]
name = "clone"
algo = "bc"
steps = 30
[[candidate]]
name = "near"
algo = "mobrac"
penalty = "calibrated"
share = 0.5
init = "clone"
[candidate.set]
agent = { batch_size = 16 }
"""
MAPPING = """files = ["log.csv"]
id = "fuzz/log-v0"
obs = ["s_*"]
action = ["a_*"]
reward = "r"
next_obs = ["n_*"]
episode = ["ep"]
order = "t"
terminated = "done"
truncated = "cut"
time_limit = 20
action_low = [-1.0]
action_high = [1.0]
reference_min = -5.0
reference_max = 5.0
env_id = "Pendulum-v1"
"""


def broken_toml(rng: Rng, text: str) -> tuple[bytes, str]:
    """A TOML text with a fault in a word, or with another value."""
    import tomli_w

    which = int(rng.integers(4))
    if which == 0:
        return whole_or_bytes(rng, text.encode())
    if which == 1:
        return of_text(rng, text)
    changed, how = of_tree(rng, tomllib.loads(text))
    try:
        return written(tomli_w.dumps(changed)).encode("utf-8", "surrogatepass"), how
    except (TypeError, ValueError, AttributeError):  # None, which TOML has no word for
        return of_text(rng, text)


def document_case(name: str, text: str) -> Callable[[Rng], Broken]:
    """Makes cases of a TOML file, with a sound log beside it."""

    def make(rng: Rng) -> Broken:
        content, how = broken_toml(rng, text)
        return Broken({name: content, "log.csv": sound.table().write_csv().encode()}, name, how)

    return make
