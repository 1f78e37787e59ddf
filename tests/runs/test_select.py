"""Selection on planted judgements, and from a log of one-step episodes whose values are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.episodes import Dataset
from orl.errors import DataError, UsageError
from orl.evaluation.ope.behaviour import BehaviourConfig
from orl.evaluation.ope.fqe import FqeConfig
from orl.evaluation.ope.score import Certainty, Contender, choose
from orl.evaluation.ope.verdict import AGREE
from orl.runs import judged_log
from orl.runs import select as selecting
from orl.runs.config import PolicyRunConfig, policy_config
from orl.runs.directory import SCHEMA, RunDirectory, write_json
from orl.runs.judged import Candidate, open_candidates, same_data
from orl.runs.ope_config import OpeConfig, resolve_ope
from orl.runs.reporter import Reporter
from orl.runs.select import common_discount, ranking, select

SMALL = OpeConfig(
    fqe=FqeConfig(hidden=(32,), members=2, updates=800, batch_size=128, learning_rate=3e-3),
    behaviour=BehaviourConfig(hidden=(16,), updates=400, learning_rate=1e-2, checks=4),
)


def constant(params: Any, key: Any, obs: Any) -> Any:
    """The policy that always plays its parameter."""
    return jnp.broadcast_to(params, (*obs.shape[:-1], 1))


def settings_of(algorithm: str) -> PolicyRunConfig:
    return policy_config({"dataset": "bandit", "algorithm": algorithm})


def player(folder: Path, name: str, action: float, algorithm: str = "cql", fingerprint: str = "") -> Candidate:
    """A candidate that always plays `action`, with a run folder of its own."""
    path = folder / name
    path.mkdir()
    record = {"schema": SCHEMA, "kind": "policy", "status": "finished", "seeds": [0], "fingerprint": fingerprint}
    record["dataset"] = {"name": "bandit"}
    write_json(path / "run.json", record)
    (path / "config.toml").write_text('dataset = "bandit"\n')
    run = RunDirectory(path, record)
    return Candidate(run, settings_of(algorithm), 0, constant, jnp.float32(action), f"plays {action}", 0.9)


def bandit(spread: float, reward: Any, episodes: int = 400) -> Dataset:
    """Episodes of one step: actions around 0 with `spread`, clipped, and their rewards."""
    rng = np.random.default_rng(0)
    action = np.clip(spread * rng.standard_normal((episodes, 1)), -1, 1).astype(np.float32)
    obs = rng.standard_normal((episodes, 2)).astype(np.float32)
    ends = np.ones(episodes, bool)
    paid = (reward(action[:, 0]) + 0.1 * rng.standard_normal(episodes)).astype(np.float32)
    low = np.ones(1, np.float32)
    return Dataset("bandit", obs, action, paid, obs, ends, ~ends, np.arange(episodes), -low, low)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Select among players of a bandit, bc (which plays 0) among them; no simulator may be made."""
    import gymnasium

    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a simulator was made")

    monkeypatch.setattr(gymnasium, "make", forbidden)
    monkeypatch.setattr(gymnasium, "make_vec", forbidden)

    def run(data: Dataset, actions: dict[str, float], **more: Any) -> dict[str, Any]:
        monkeypatch.setattr(judged_log, "load", lambda name, progress: data)
        print_ = data.fingerprint
        players = [player(tmp_path, name, action, fingerprint=print_) for name, action in actions.items()]
        players.append(player(tmp_path, "bc", 0.0, "bc", print_))
        monkeypatch.setattr(selecting, "open_candidates", lambda *arguments: players)
        paths = [each.run.path for each in players]
        return select(paths, settings=SMALL, root=tmp_path / "none", **more)

    return run


def test_a_better_policy_is_selected_and_a_worse_one_is_not(judge: Any, tmp_path: Path) -> None:
    """Reward -(a - 0.5)^2, actions N(0, 0.5) clipped: playing 0.5 is worth 0, -0.5 is worth -1, the log about -0.48."""
    data = bandit(0.5, lambda a: -((a - 0.5) ** 2))
    document = judge(data, {"worse": -0.5, "better": 0.5}, out=tmp_path / "out")
    assert document["selected"] == {"run": str(tmp_path / "better"), "seed": 0, "label": "better"}
    assert document["reason"].startswith("better is better than the behaviour by at least 0.")
    order = [line["label"] for line in document["ranking"]]
    assert order[0] == "better"
    assert order[-1] == "worse"
    assert set(order) == {"better", "worse", "bc", "behaviour"}
    by_label = {each["label"]: each for each in document["candidates"]}
    assert by_label["better"]["estimates"]["fqe"]["value"] == pytest.approx(0.0, abs=0.08)
    assert by_label["better"]["estimates"]["doubly_robust"]["value"] == pytest.approx(0.0, abs=0.08)
    assert by_label["worse"]["estimates"]["fqe"]["value"] == pytest.approx(-1.0, abs=0.08)
    assert document["behaviour"]["value"] == pytest.approx(float(data.reward.mean()), abs=1e-6)
    improvement = {line["label"]: line["improvement"] for line in document["ranking"]}
    assert improvement["worse"] < -0.3 < 0.3 < improvement["better"]
    assert json.loads((tmp_path / "out" / "selection.json").read_text()) == document


def test_none_is_selected_where_none_is_better(judge: Any) -> None:
    """Reward -a^2: nothing beats what is played around 0 by much, and playing 0.9 is far worse."""
    document = judge(bandit(0.1, lambda a: -(a**2)), {"worse": 0.25})
    assert document["selected"] is None
    assert document["reason"].startswith("keep the behaviour policy")


def test_what_lies_outside_the_data_is_not_selected_however_good_it_looks(judge: Any) -> None:
    """Reward a, logged within 0.05 of 0: 0.9 looks best by far to fitted Q, and there is no model to speak for it."""
    document = judge(bandit(0.05, lambda a: a), {"bold": 0.9})
    (bold,) = [each for each in document["candidates"] if each["label"] == "bold"]
    assert bold["verdict"]["kind"] == "outside the data: do not trust"
    assert bold["support"]["far_share"] == 1.0
    assert bold["estimates"]["fqe"]["improvement"]["value"] > 0.1
    (line,) = [each for each in document["ranking"] if each["label"] == "bold"]
    assert (line["improvement"], line["witness"]) == (None, None)
    assert document["selected"] is None
    assert document["ranking"][-1]["label"] == "bold"


def test_the_behaviour_stands_where_nothing_is_gained() -> None:
    """Scores of 5, -1 and of nobody; the behaviour's is 0."""
    seen = [
        Contender("a", Certainty(-1.0, 0.5, "fqe"), AGREE),
        Contender("b", Certainty(5.0, 6.0, "fqe"), AGREE),
        Contender("c", Certainty(-np.inf, -np.inf, None), AGREE),
    ]
    rest = {"seed": 0, "behaviour": {"value": 4.0}, "estimates": {"fqe": {"value": 0}}}
    lines = ranking([{"run": each.name, "label": each.name, **rest} for each in seen], seen, choose(seen))
    assert [line["label"] for line in lines] == ["b", "behaviour", "a", "c"]
    assert [line["score"] for line in lines] == [5.0, 0.0, -1.0, None]
    assert [line["improvement"] for line in lines] == [6.0, 0.0, 0.5, None]
    assert (lines[1]["run"], lines[1]["value"], lines[1]["witness"]) == (None, 4.0, None)


def test_candidates_of_other_data_are_refused(tmp_path: Path) -> None:
    players = [player(tmp_path, "a", 0.0, fingerprint="x"), player(tmp_path, "b", 0.0, fingerprint="y")]
    with pytest.raises(DataError, match=r"b was trained on bandit, .*a on bandit, which is other data"):
        same_data(players)


def test_candidates_are_compared_at_the_discount_that_they_share(tmp_path: Path) -> None:
    """bc has none; where others differ the user has to say."""
    one, other = player(tmp_path, "a", 0.0), player(tmp_path, "b", 0.0)._replace(discount=0.95)
    bc = player(tmp_path, "bc", 0.0, "bc")._replace(discount=0.99)
    assert common_discount([one, bc]) == 0.9
    assert common_discount([bc]) == 0.99
    with pytest.raises(UsageError, match=r"a was trained at discount 0\.9, b at 0\.95"):
        common_discount([one, other, bc])


def test_a_run_named_twice_is_refused(tmp_path: Path) -> None:
    path = player(tmp_path, "a", 0.0).run.path
    with pytest.raises(UsageError, match="named twice"):
        open_candidates([path, path], None, None, Reporter())


def test_settings_name_what_is_unknown() -> None:
    assert resolve_ope({"ope": {"folds": 3, "fqe": {"updates": 5}}}).fqe.updates == 5
    with pytest.raises(UsageError, match=r"unknown setting ope\.fold; did you mean folds"):
        resolve_ope({"ope": {"fold": 3}})
    with pytest.raises(UsageError, match="unknown setting agent"):
        resolve_ope({"agent": {"hidden": [3]}})
