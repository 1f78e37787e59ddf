"""`orl.export` on runs: the files against the policy on 10,000 held-out rows, and what is refused or never appears."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, settings

import orl as package
from orl.data.catalog import load
from orl.errors import DataError, MissingError, ParityError, UsageError
from orl.files import TEMPORARY
from orl.runs.export import formats, proof
from orl.runs.export.run import export_plan
from orl.runs.reporter import Reporter

FORMATS = ("onnx", "stablehlo", "numpy")
HALF = ["model.holdout_fraction=0.5"]  # of the embedded data's 20,000 rows
POLICIES: dict[str, list[Any]] = {
    "bc": ["-a", "bc", *settings(TINY_AGENT, HALF, ["agent.hidden=[32,32]"])],
    "combo": ["-a", "combo", *settings(TINY_MODEL, TINY_AGENT, TINY_ROLLOUT, HALF, ["agent.hidden=[32,32]"])],
    "stacked": ["-a", "bc", "--history", 3, *settings(TINY_AGENT, HALF, ["agent.layer_norm=true"])],
}


class Told(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def needs(format: str) -> None:
    """Skip where the format's packages are missing."""
    if format == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")


@contextmanager
def quick_compilation() -> Iterator[None]:
    """XLA compiles quickly rather than well: for the training, not for the policies that are held against files."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def trained(orl: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three policies, on the embedded data with half of it held out."""
    root = tmp_path_factory.mktemp("exported")
    found = {}
    for name, words in POLICIES.items():
        with quick_compilation():
            done = orl("train-policy", "-d", "orl/pendulum/mixed-v0", "--steps", 20, "--runs", root, "--json", *words)
        assert done.code == 0, done.err
        found[name] = Path(done.document["run"])
    return found


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", POLICIES)
def test_files_are_the_policy_on_ten_thousand_held_out_observations(
    name: str, format: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    """The issue's proof: to 1e-5 of the action's range, by the exporter's own count and once more from outside."""
    needs(format)
    document = package.export(trained[name], format=format, out=tmp_path / "out")
    assert document["check"]["rows"] == 10_000
    assert document["check"]["action"] <= 1e-5
    assert document["check"]["memory"] <= 1e-5
    assert (document["flag"]["missing"] is None) == (name == "combo")
    run = formats.FORMATS[format].read(tmp_path / "out").run
    data = load("orl/pendulum/mixed-v0")
    policy = package.load_policy(trained[name])
    episodes = np.flatnonzero(data.lengths == 200)[:10]
    memory = (np.zeros((10, document["memory_dim"]), np.float32),) if name == "stacked" else ()
    actions = []
    for step in range(30):  # both play the same logged observations, and each remembers its own actions
        obs = data.obs[data.starts[episodes] + step]
        found = run(obs, *memory)
        memory = (found["next_memory"],) if memory else ()
        np.testing.assert_allclose(found["action"], policy(obs), rtol=0, atol=4e-5)
        actions.append(found["action"])
    assert np.ptp(actions) > 0.05


@pytest.fixture(scope="module")
def exported(trained: dict[str, Path]) -> dict[str, Any]:
    """The document of the COMBO policy as NumPy, in its run folder."""
    return package.export(trained["combo"], format="numpy")


def test_what_is_in_the_folder(exported: dict[str, Any], trained: dict[str, Path]) -> None:
    folder = trained["combo"] / "export" / "numpy"
    assert exported["folder"] == str(folder)
    assert sorted(each.name for each in folder.iterdir()) == ["export.json", "model-card.md", "policy.npz", "policy.py"]
    assert json.loads((folder / "export.json").read_text()) == exported
    for each in exported["files"]:
        content = (folder / each["name"]).read_bytes()
        assert (each["bytes"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [each.name for each in folder.parent.iterdir()] == ["numpy"]  # neither a lock nor anything half built


def test_the_flag_is_that_of_the_runs_model(exported: dict[str, Any], trained: dict[str, Path]) -> None:
    """On held-out rows with their logged actions one in a hundred is flagged: the threshold is their 99th hundredth."""
    import jax.numpy as jnp

    from orl.deployment.reference import disagreement
    from orl.runs.export.subject import held_out, open_subject

    flag, model = exported["flag"], package.load_model(trained["combo"] / "model")
    rows, episodes = held_out(
        load("orl/pendulum/mixed-v0"), open_subject(trained["combo"], None, "last").config.model, 0
    )
    u = flag["factor"] * np.asarray(disagreement(model.ensemble, model.params, rows.obs, rows.action))
    assert (len(u), len(np.unique(episodes))) == (10_000, 50)
    assert np.mean(u > flag["threshold"]) == pytest.approx(0.01, abs=2e-4)
    mean = np.asarray(model.ensemble.predict(model.params, rows.obs, rows.action).mean[model.params.elites]).mean(0)
    error = (np.asarray(rows.next_obs - rows.obs) - mean[:, :-1]) / np.asarray(model.params.outputs.std[:-1])
    assert np.mean(u >= np.linalg.norm(error, axis=1) * (1 - 1e-4)) == pytest.approx(0.95, abs=2e-3)
    policy = package.load_policy(trained["combo"])
    chosen = jnp.asarray(policy(np.asarray(rows.obs)) / 2.0)  # torques of [-2, 2] to the agent's [-1, 1]
    own = flag["factor"] * np.asarray(disagreement(model.ensemble, model.params, rows.obs, chosen))
    assert exported["flagged"]["held_out"] == pytest.approx(np.mean(own > flag["threshold"]), abs=5e-4)
    assert exported["flagged"]["strange"] > 3 * exported["flagged"]["held_out"]


def test_the_cards_program_runs_where_there_is_no_orl(exported: dict[str, Any]) -> None:
    folder = Path(exported["folder"])
    (program,) = re.findall(r"```python\n(.*?)```", (folder / "model-card.md").read_text(), re.DOTALL)
    code = program + '\nimport sys\nassert not {"orl", "jax"} & set(sys.modules)\n'
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=alone)
    assert (done.returncode, done.stderr) == (0, "")
    action, flag = done.stdout.split()
    assert -2.0 <= float(action.strip("[]")) <= 2.0
    assert flag in ("[True]", "[False]")


def test_the_card_says_what_was_measured(exported: dict[str, Any], trained: dict[str, Path]) -> None:
    card = (Path(exported["folder"]) / "model-card.md").read_text()
    data, flag = exported["dataset"], exported["flag"]
    for text in (
        "# Policy: combo on `orl/pendulum/mixed-v0`",
        f"SHA-256 `{data['fingerprint']}`",
        "| combo, 20 updates, seed 0 |",
        f"In `Pendulum-v1`: score {exported['judged']['simulator'][0]['score']:.4g} over 2 episodes",
        f"| 2 | `obs[2]` | {data['obs_low'][2]:.4g} |",
        "| 0 | -2 | 2 |",
        f"exceeds **{flag['threshold']:.4g}**",
        "Held-out observations asked: 10,000.",
        f"Largest difference from the policy in JAX: {exported['check']['action']:.2g} of the action's range",
        *(f"| `{each['name']}` | {each['bytes']:,} | `{each['sha256']}` |" for each in exported["files"]),
        f"numpy {np.__version__}",
    ):
        assert text in card
    assert "**There is no flag" not in card
    assert data["held_out_rows"] == 10_000


def test_a_policy_without_a_model_has_no_flag_unless_one_is_named(
    orl: Callable[..., Any], trained: dict[str, Path], tmp_path: Path
) -> None:
    told = Told()
    bare = package.export(trained["bc"], format="numpy", out=tmp_path / "bare", reporter=told)
    assert bare["flag"] == {"missing": "the run has no model; name a fitted ensemble with --model to have one"}
    assert bare["flagged"] is None
    assert "no out-of-distribution flag: the run has no model" in "\n".join(told.lines)
    assert "**There is no flag in this file**: the run has no model" in (tmp_path / "bare/model-card.md").read_text()
    model = trained["combo"] / "model"
    flagged = package.export(trained["bc"], format="numpy", out=tmp_path / "flagged", model=model, quantile=0.9)
    assert (flagged["flag"]["model"], flagged["flag"]["quantile"]) == (str(model), 0.9)
    assert 0 < flagged["flagged"]["held_out"] < 0.5
    with pytest.raises(UsageError, match="was fitted with history 0, not 3"):
        package.export(trained["stacked"], format="numpy", out=tmp_path / "x", model=model)


def test_the_flag_is_calibrated_on_what_was_held_out_of_the_models_own_fit(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    """The model was fitted to half of the 20,000 rows, the policy to three quarters."""
    shutil.copytree(trained["bc"], tmp_path / "run")
    file = tmp_path / "run/config.toml"
    file.write_text(file.read_text().replace("holdout_fraction = 0.5", "holdout_fraction = 0.25"))
    document = package.export(tmp_path / "run", format="numpy", model=trained["combo"] / "model")
    assert (document["flag"]["rows"], document["check"]["rows"]) == (10_000, 5_000)


def test_a_file_that_answers_otherwise_never_appears(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias that is off by 1e-3; the earlier export stays, and nothing is left beside it."""
    first = package.export(trained["bc"], format="numpy", out=tmp_path / "made" / "out")
    honest = proof.description_of

    def off(*arguments: Any) -> Any:
        found = honest(*arguments)
        last = found.layers[-1]
        return found._replace(layers=(*found.layers[:-1], last._replace(bias=last.bias + 1e-3)))

    monkeypatch.setattr(proof, "description_of", off)
    with pytest.raises(ParityError, match=r"actions differ by up to 0.000[45]\d* of their range \(1e-05 is allowed\)"):
        package.export(trained["bc"], format="numpy", out=tmp_path / "made" / "out", force=True)
    assert ParityError.exit_code == 1
    assert [each.name for each in (tmp_path / "made").iterdir()] == ["out"]
    assert json.loads((tmp_path / "made/out/export.json").read_text()) == first
    with pytest.raises(ParityError):
        package.export(trained["bc"], format="numpy", out=tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ensemble", r"holds a model \(ensemble\) and no policy; only policies of `orl train-policy` can be exported"),
        ("transformer", r"holds a model \(transformer\) and no policy"),
        ("plan", "plans: it searches anew at every step; only policies of `orl train-policy` can be exported"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(
    kind: str, message: str, cloned: dict[str, Any], tmp_path: Path
) -> None:
    record = json.loads((Path(cloned["run"]) / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"kind": kind}))
    with pytest.raises(UsageError, match=message):
        package.export(tmp_path, format="numpy")
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    with pytest.raises(DataError, match="is not a run folder"):
        package.export(tmp_path / "none", format="numpy")


def test_wrong_wishes_are_refused_before_anything_is_written(cloned: dict[str, Any], tmp_path: Path) -> None:
    run, out = Path(cloned["run"]), tmp_path / "x"
    with pytest.raises(UsageError, match=r"holds the seeds \[0, 1\], not 7"):
        package.export(run, format="numpy", out=out, seed=7)
    with pytest.raises(UsageError, match="checkpoint is 'last' or 'best'"):
        package.export(run, format="numpy", out=out, checkpoint="newest")
    with pytest.raises(UsageError, match="unknown format 'torch'; there are onnx, stablehlo, numpy"):
        package.export(run, format="torch", out=out)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match="exists and is no export; choose another folder with --out"):
            package.export(run, format="numpy", out=out, force=force)
    assert [each.name for each in out.iterdir()] == ["mine.txt"]


def test_another_seed_and_the_best_checkpoint_are_other_policies(cloned: dict[str, Any], tmp_path: Path) -> None:
    told, run = Told(), Path(cloned["run"])
    obs = np.array([[1.0, 0.0, 0.0], [-0.6, 0.8, 5.0]], np.float32)
    for name, words in (("first", {}), ("second", {"seed": 1}), ("best", {"checkpoint": "best"})):
        document = package.export(run, format="numpy", out=tmp_path / name, reporter=told, **words)  # type: ignore[arg-type]
        found = formats.FORMATS["numpy"].read(tmp_path / name).run(obs)["action"]
        np.testing.assert_allclose(found, package.load_policy(run, **words)(obs), atol=1e-5)  # type: ignore[arg-type]
        assert document["seed"] == words.get("seed", 0)
    assert told.lines.count("note: of the seeds 0, 1 this is 0; choose with --seed") == 2
    assert package.export(run, format="numpy", out=tmp_path / "first", force=True)["seed"] == 0
    with pytest.raises(UsageError, match="holds an export already; replace it with --force"):
        package.export(run, format="numpy", out=tmp_path / "first")


def test_judgements_in_the_run_folder_are_in_the_card(
    orl: Callable[..., Any], cloned: dict[str, Any], tmp_path: Path
) -> None:
    """An evaluation is; a judgement of another shape is told and left out, and ends nothing."""
    shutil.copytree(cloned["run"], tmp_path / "run", ignore=shutil.ignore_patterns("eval"))
    played = package.evaluate(tmp_path / "run", episodes=3, seed=9)
    (tmp_path / "run/ope").mkdir()
    (tmp_path / "run/ope/1.json").write_text('{"candidate": {"estimates": []}}')
    told = Told()
    document = package.export(tmp_path / "run", format="numpy", seed=1, reporter=told)
    assert document["judged"]["log"] is None
    _, evaluated = document["judged"]["simulator"]
    assert evaluated["score"] == played["score"]["per_seed"][1]
    card = (tmp_path / "run/export/numpy/model-card.md").read_text()
    assert f"score {evaluated['score']:.4g} over 3 episodes (`orl evaluate`, reset seed 9)" in card
    assert sum("ope/1.json says of the policy is left out of the card" in line for line in told.lines) == 1


def test_its_data_must_be_there_and_the_same(cloned: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(cloned["run"], tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps(record | {"fingerprint": "0" * 64}))
    with pytest.raises(DataError, match="fingerprints differ"):
        package.export(tmp_path / "run", format="numpy")
    assert not (tmp_path / "run/export").exists()


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    cloned: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    pytest.importorskip("onnx")
    with pytest.raises(MissingError, match=r"package onnxruntime is not installed; .*pip install 'orl\[export\]'"):
        package.export(Path(cloned["run"]), out=tmp_path / "x")


def test_what_a_killed_export_left_is_gone_after_the_next(cloned: dict[str, Any], tmp_path: Path) -> None:
    left = tmp_path / f"{TEMPORARY}out"
    left.mkdir()
    (left / "policy.npz").write_text("half")
    package.export(Path(cloned["run"]), format="numpy", out=tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_plan_writes_nothing(cloned: dict[str, Any], tmp_path: Path) -> None:
    """Sizes by hand: 3 means, 3 spreads, 3 x 8 + 8, 8 x 1 + 1."""
    plan = export_plan(Path(cloned["run"]), format="stablehlo", out=tmp_path / "x")
    assert plan["parameters"] == 6 + 32 + 9
    assert plan["contents"] == ["policy.stablehlo", "model-card.md", "export.json"]
    assert (plan["obs_dim"], plan["action_dim"], plan["memory_dim"], plan["model"]) == (3, 1, 0, None)
    assert list(tmp_path.iterdir()) == []
