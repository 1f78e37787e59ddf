"""The standalone policy.py: it imports NumPy alone, takes one observation or a batch, and refuses other sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_policies import made, written

from orl.deployment.numpy_policy import Policy
from orl.types import Spec

SPEC = Spec(3, 2, (-1.5, 0.0), (2.5, 8.0), 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a policy of one earlier step and a model."""
    place = tmp_path_factory.mktemp("policy")
    written(made(SPEC), "numpy", place)
    return place


def test_one_observation_or_a_batch(folder: Path) -> None:
    policy = Policy(folder / "policy.npz")
    assert (policy.obs_dim, policy.action_dim, policy.history, policy.memory_dim) == (3, 2, 1, 6)
    obs = np.random.default_rng(0).normal(size=(4, 3))
    many, one = policy(obs), policy(obs[2])
    assert many.action.shape == (4, 2)
    assert one.action.shape == (2,)
    np.testing.assert_allclose(one.action, many.action[2], rtol=1e-6)
    assert isinstance(bool(one.out_of_distribution), bool)
    assert one.next_memory.shape == (6,)
    np.testing.assert_array_equal(policy(obs, np.zeros((4, 6))).action, many.action)  # None begins an episode too
    later = policy(obs[2], one.next_memory)
    np.testing.assert_allclose(later.action, policy(obs, many.next_memory).action[2], rtol=1e-6)
    assert np.abs(later.action - one.action).max() > 1e-3


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (((4,),), "obs of shape \\(1, 4\\); this policy takes \\[3\\] or a batch \\[B, 3\\]"),
        (((2, 2, 3),), "obs of shape \\(2, 2, 3\\)"),
        (((2, 3), (2, 5)), "memory of shape \\(2, 5\\); this policy takes \\[6\\]"),
        (((2, 3), (1, 6)), "memory of shape \\(1, 6\\) for 2 observations"),
    ],
)
def test_other_sizes_are_refused(folder: Path, arrays: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(folder / "policy.npz")(*(np.zeros(shape) for shape in arrays))


def test_the_file_runs_on_numpy_alone(folder: Path) -> None:
    """In a process of its own: the written policy.py beside its arrays, and nothing of orl or jax."""
    code = """
import sys
import numpy as np
from policy import Policy
step = Policy("policy.npz")(np.zeros(3))
print(*step.action, step.out_of_distribution)
sys.exit(f"imported {found}" if (found := {"orl", "jax", "onnx"} & set(sys.modules)) else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    step = Policy(folder / "policy.npz")(np.zeros(3))
    assert done.stdout.split() == [*map(str, step.action), str(step.out_of_distribution)]
