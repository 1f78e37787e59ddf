"""Settings: trees, `--set`, presets, and the messages a wrong key or value ends with."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from orl.algorithms import ALGORITHMS
from orl.algorithms.combo import ComboConfig
from orl.algorithms.cql import CqlConfig
from orl.algorithms.mobile import MobileConfig
from orl.algorithms.mopo import MopoConfig
from orl.algorithms.rebrac import RebracConfig
from orl.config import (
    RESULTS,
    build,
    completed,
    did_you_mean,
    find_presets,
    merge,
    parse_assignment,
    presets_folder,
    read_toml,
    to_toml,
)
from orl.dynamics.config import EnsembleConfig
from orl.errors import UsageError
from orl.planning import PLANNERS
from orl.runs.config import TrainConfig, policy_config, resolve_fit, resolve_policy, resolve_sequence
from orl.runs.config_plan import plan_config, resolve_plan
from orl.runs.seeds import parse_seeds

BAD = [
    ("hidden", [0]),
    ("batch_size", 0),
    ("actor_learning_rate", -1e-4),
    ("actor_learning_rate", 0.0),
    ("discount", 1.0),
    ("polyak", 1.5),
    ("real_ratio", 2.0),
    ("real_ratio", -0.1),
    ("conservative_weight", -1.0),
    ("temperature", 0.0),
    ("rollout_length", 0),
    ("rollout_start", "anywhere"),
    ("penalty_coef", -1.0),
    ("uncertainty", "max_stdd"),
    ("threshold_rule", "median"),
]


@dataclass(frozen=True)
class Inner:
    width: Annotated[int, Field(ge=1)] = 3
    rates: tuple[float, ...] = (0.1,)


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    flag: bool = False
    inner: Inner = field(default_factory=Inner)


def test_an_earlier_versions_settings_are_completed_by_defaults():
    """What is there stays, what did not exist yet has its default, not the value of now; tables too."""
    now = Outer(name="now", flag=True, inner=Inner(width=9, rates=(0.5,)))
    assert completed({"flag": True, "inner": {"width": 7}}, now) == {
        "name": "x",
        "flag": True,
        "inner": {"width": 7, "rates": [0.1]},
    }
    assert completed({}, now) == {"name": "x", "flag": False, "inner": {"width": 3, "rates": [0.1]}}


class TestMerge:
    def test_tables_merge_key_by_key_and_the_later_wins(self):
        base = {"a": 1, "t": {"x": 1, "deep": {"p": 1, "q": 2}}}
        over = {"b": 2, "t": {"y": 3, "deep": {"q": 9}}}
        assert merge(base, over) == {"a": 1, "b": 2, "t": {"x": 1, "y": 3, "deep": {"p": 1, "q": 9}}}

    def test_arguments_are_left_alone(self):
        base, over = {"t": {"x": 1}}, {"t": {"y": 2}}
        merge(base, over)
        assert (base, over) == ({"t": {"x": 1}}, {"t": {"y": 2}})

    def test_lists_are_replaced_and_a_table_replaces_a_value(self):
        assert merge({"l": [1, 2, 3], "v": 1}, {"l": [4], "v": {"x": 1}}) == {"l": [4], "v": {"x": 1}}


class TestAssignment:
    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("seed=3", {"seed": 3}),
            ("agent.penalty_coef=2.5", {"agent": {"penalty_coef": 2.5}}),
            ("agent.actor_learning_rate=1e-4", {"agent": {"actor_learning_rate": 1e-4}}),
            ("agent.hidden=[64, 64]", {"agent": {"hidden": [64, 64]}}),
            ("agent.actor_cosine=true", {"agent": {"actor_cosine": True}}),
            ('agent.rho="model"', {"agent": {"rho": "model"}}),
            ("agent.rho=model", {"agent": {"rho": "model"}}),
            ("a.b.c=1", {"a": {"b": {"c": 1}}}),
            ("dataset=a=b", {"dataset": "a=b"}),
            (" a.b = 1", {"a": {"b": 1}}),
        ],
    )
    def test_values_are_toml_else_plain_strings(self, text, tree):
        assert parse_assignment(text) == tree

    @pytest.mark.parametrize("text", ["agent.penalty_coef", "=3", "  =3", ""])
    def test_what_is_not_an_assignment_is_refused(self, text):
        with pytest.raises(UsageError, match="key=value"):
            parse_assignment(text)


class TestBuild:
    def test_nested_tables_and_lists_become_dataclasses_and_tuples(self):
        got = build(Outer, {"inner": {"rates": [1, 2.5]}})
        assert got == Outer(inner=Inner(rates=(1.0, 2.5)))

    def test_unknown_key_names_the_nearest_one(self):
        with pytest.raises(UsageError, match=r"^unknown setting nam; did you mean name\?$"):
            build(Outer, {"nam": "y"})

    def test_unknown_nested_key_carries_its_path_and_the_prefix(self):
        with pytest.raises(UsageError, match=r"^unknown setting model\.inner\.widht; did you mean width\?$"):
            build(Outer, {"inner": {"widht": 4}}, "model.")

    def test_hopeless_key_lists_what_is_known(self):
        with pytest.raises(UsageError, match="known: flag, inner, name"):
            build(Outer, {"zzzzzz": 1})

    @pytest.mark.parametrize(
        ("values", "key"),
        [
            ({"inner": {"width": "wide"}}, "inner.width"),
            ({"inner": {"width": 2.5}}, "inner.width"),
            ({"inner": {"width": 0}}, "inner.width"),
            ({"inner": {"rates": [0.1, "x"]}}, "inner.rates.1"),
            ({"flag": "perhaps"}, "flag"),
            ({"name": 3}, "name"),
        ],
    )
    def test_wrong_type_or_range_names_the_key_and_the_value(self, values, key):
        with pytest.raises(UsageError) as caught:
            build(Outer, values, "p.")
        assert f"setting p.{key} = " in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1

    def test_a_value_where_a_table_belongs(self):
        with pytest.raises(UsageError, match="setting inner is a table"):
            build(Outer, {"inner": 3})

    @pytest.mark.parametrize(
        ("name", "key", "value"),
        [
            (name, *bad)
            for name, entry in ALGORITHMS.items()
            for bad in BAD
            if bad[0] in entry.config.__dataclass_fields__
        ],
    )
    def test_every_algorithm_keeps_the_range_of_an_inherited_setting(self, name, key, value):
        """A subclass that only changes a default must not lose the field's bounds with its annotation."""
        with pytest.raises(UsageError, match=key):
            build(ALGORITHMS[name].config, {key: value})

    def test_model_whose_lists_do_not_fit_each_other(self):
        with pytest.raises(UsageError, match=r"model.elites is 5, more than model.members \(3\)"):
            build(EnsembleConfig, {"members": 3})
        with pytest.raises(UsageError, match=r"weight_decay has 5 values; model.hidden needs 3"):
            build(EnsembleConfig, {"hidden": [8, 8]})

    def test_did_you_mean(self):
        assert did_you_mean("mop", ["mopo", "combo"]) == "; did you mean mopo?"
        assert did_you_mean("xyz", ["mopo", "combo"]) == "; known: combo, mopo"


class TestPresets:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        files = {
            "default.toml": 'datasets = ["*"]\nfallback = true\n[agent]\nnormalise_obs = true',
            "all.toml": 'datasets = ["toy/*"]\n[agent]\nbatch_size = 1\nhidden = [1]',
            "toy/b.toml": 'datasets = ["toy/*"]\nalgorithms = ["mopo"]\n[agent]\nbatch_size = 3',
            "toy/a.toml": 'datasets = ["TOY/hard-*"]\n[agent]\nbatch_size = 2',
            "aaa/deep/z.toml": 'datasets = ["toy/*"]\n[agent]\nbatch_size = 4',
            "logs.toml": 'datasets = ["hopper-*.hdf5"]\n[agent]\nbatch_size = 5',
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    def paths(self, folder, dataset, algorithm):
        return [preset.path for preset in find_presets(dataset, algorithm, folder)]

    def test_general_before_special_by_depth_then_name(self, folder):
        """Merged in this order the deepest file wins, whatever the alphabet says."""
        found = find_presets("toy/hard-v0", "mopo", folder)
        assert [p.path for p in found] == ["all.toml", "toy/a.toml", "toy/b.toml", "aaa/deep/z.toml"]
        merged = {}
        for preset in found:
            merged = merge(merged, preset.settings)
        assert merged == {"agent": {"batch_size": 4, "hidden": [1]}}

    def test_only_named_algorithms(self, folder):
        assert "toy/b.toml" not in self.paths(folder, "toy/hard-v0", "combo")
        assert "toy/b.toml" not in self.paths(folder, "toy/hard-v0", None)

    def test_explicit_ones_only_where_asked_for(self, folder):
        """What is for every algorithm is not for a planner or a transformer; nor does it hide the fallback."""

        def explicit(dataset, algorithm):
            return [preset.path for preset in find_presets(dataset, algorithm, folder, explicit=True)]

        assert explicit("toy/hard-v0", "mopo") == ["toy/b.toml"]
        assert explicit("toy/hard-v0", "beam") == []
        (folder / "beam.toml").write_text('datasets = ["*"]\nalgorithms = ["beam"]\nfallback = true\n[plan]\nbeam = 4')
        assert explicit("toy/hard-v0", "beam") == ["beam.toml"]

    def test_patterns_ignore_case(self, folder):
        assert "toy/a.toml" in self.paths(folder, "Toy/HARD-v0", "bc")
        assert "toy/a.toml" not in self.paths(folder, "toy/easy-v0", "bc")

    def test_fallback_only_where_nothing_else_matches(self, folder):
        assert self.paths(folder, "unheard/of", "mopo") == ["default.toml"]
        assert "default.toml" not in self.paths(folder, "toy/easy-v0", "bc")

    def test_files_are_matched_by_their_name(self, folder):
        assert self.paths(folder, "/data/logs/hopper-medium.hdf5", "bc") == ["logs.toml"]
        assert self.paths(folder, "/data/toy/mine.npz", "bc") == ["default.toml"]

    def test_selectors_are_not_settings(self, folder):
        for preset in find_presets("toy/hard-v0", "mopo", folder):
            assert set(preset.settings) == {"agent"}

    def test_broken_preset_is_named(self, folder):
        (folder / "broken.toml").write_text("datasets = [")
        with pytest.raises(UsageError, match=r"broken\.toml is not valid TOML"):
            find_presets("toy/hard-v0", "mopo", folder)

    def test_missing_settings_file_is_named(self, tmp_path):
        with pytest.raises(UsageError, match=r"cannot read the settings file .*nowhere\.toml"):
            read_toml(tmp_path / "nowhere.toml")


def name_for(pattern):
    """A dataset name that the pattern is for: a letter for a star, its first character for a class."""
    return re.sub(r"\[(.)[^]]*\]", r"\1", pattern.replace("*", "q"))


def shipped():
    """(file, dataset, algorithm) for every dataset and algorithm the shipped presets speak of."""
    root = presets_folder()
    for path in sorted(root.rglob("*.toml")):
        if RESULTS in path.parts:
            continue
        settings = read_toml(path)
        for pattern in settings.get("datasets", []):
            for algorithm in settings.get("algorithms", ALGORITHMS):
                yield str(path.relative_to(root)), name_for(pattern), algorithm


@pytest.mark.parametrize("file", sorted({file for file, _, _ in shipped()}))
def test_shipped_preset_resolves_for_each_algorithm_it_names(file):
    """No preset gives an algorithm a setting it does not have, and each file is reached by its own patterns."""
    cases = [(dataset, algorithm) for path, dataset, algorithm in shipped() if path == file]
    assert cases
    for dataset, algorithm in cases:
        if algorithm == "transformer":
            _, presets = resolve_sequence(dataset, {})
        elif algorithm in PLANNERS:
            config, presets = resolve_plan(dataset, algorithm, {})
            assert config.planner == algorithm
        else:
            config, presets = resolve_policy(dataset, algorithm, {})
            assert config.algorithm == algorithm
        assert file in [preset.path for preset in presets], dataset


def test_shipped_presets_speak_of_known_algorithms_and_tables_only():
    for path in presets_folder().rglob("*.toml"):
        if path.parent.name == "tune" or RESULTS in path.parts:  # sets of candidates and runs are no presets
            continue
        settings = read_toml(path)
        assert set(settings.get("algorithms", [])) <= {*ALGORITHMS, *PLANNERS, "transformer"}, path
        assert set(settings) <= {"datasets", "algorithms", "fallback", "model", "agent", "train", "plan"}, path


def test_a_preset_reaches_the_settings_and_overrides_win():
    config, _ = resolve_policy("orl/pendulum/x", "mopo", {"agent": {"rollout_length": 2}})
    assert config.agent.hidden == (64, 64)
    assert config.agent.rollout_length == 2
    assert config.agent.rollout_batch == 2000
    assert config.model.standardise_targets


def test_model_fit_and_policy_run_agree_on_the_model():
    """The policy's run must find the model that `fit-model` made with the same settings."""
    for dataset in sorted({dataset for _, dataset, _ in shipped()} | {"unheard/of"}):
        fit, _ = resolve_fit(dataset, {})
        for algorithm in ALGORITHMS:
            assert resolve_policy(dataset, algorithm, {})[0].model == fit.model, (dataset, algorithm)


@pytest.mark.parametrize("planner", PLANNERS)
def test_settings_of_a_plan_survive_the_round_trip_through_toml(planner):
    """A setting that is None is left out of the file and comes back as None."""
    config, _ = resolve_plan("orl/pendulum/mixed-v0", planner, {"seeds": [2, 4], "plan": {"horizon": 2}})
    assert (config.seeds, config.plan.horizon) == ((2, 4), 2)
    assert type(config.plan) is PLANNERS[planner].config
    assert plan_config(tomllib.loads(to_toml(config))) == config
    with pytest.raises(UsageError, match=r"unknown setting plan\.horizonn; did you mean horizon\?"):
        resolve_plan("a/b", planner, {"plan": {"horizonn": 2}})


def test_a_plan_and_the_fit_it_needs_agree_on_the_model():
    """`orl plan` must find the model that `orl fit-model` made with the same settings."""
    for dataset in sorted({dataset for _, dataset, _ in shipped()} | {"unheard/of"}):
        ensemble, transformer = resolve_fit(dataset, {})[0].model, resolve_sequence(dataset, {})[0].model
        for planner, entry in PLANNERS.items():
            expected = ensemble if entry.model == "ensemble" else transformer
            assert resolve_plan(dataset, planner, {})[0].model == expected, (dataset, planner)


def test_unknown_planner_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown planner 'beem'; did you mean beam\?"):
        resolve_plan("a/b", "beem", {})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_settings_survive_the_round_trip_through_toml(algorithm):
    config = policy_config(
        {
            "dataset": "a/b",
            "algorithm": algorithm,
            "seeds": [3, 5],
            "seed_axis": "map",
            "model": {"hidden": [8], "weight_decay": [1e-5, 0.0], "termination": "hopper"},
            "train": {"steps": 7, "eval_every": 0},
            "agent": {"hidden": [16, 8], "actor_learning_rate": 1e-4},
        }
    )
    assert config.seeds == (3, 5)
    assert config.agent.hidden == (16, 8)
    assert type(config.agent) is ALGORITHMS[algorithm].config
    assert policy_config(tomllib.loads(to_toml(config))) == config


def test_unknown_algorithm_and_agent_setting_name_the_nearest():
    with pytest.raises(UsageError, match=r"unknown algorithm 'mop'; did you mean mopo\?"):
        policy_config({"dataset": "x", "algorithm": "mop"})
    with pytest.raises(UsageError, match=r"unknown setting agent\.penalty_coeff; did you mean penalty_coef\?"):
        policy_config({"dataset": "x", "algorithm": "mopo", "agent": {"penalty_coeff": 1.0}})
    with pytest.raises(UsageError, match=r"unknown setting agent\.penalty_coef"):
        policy_config({"dataset": "x", "algorithm": "mbpo", "agent": {"penalty_coef": 1.0}})


def test_settings_of_the_papers_and_their_scale():
    """OfflineRL-Kit's conservative weight 5 on a plain mean square is 2.5 beside 0.5 * TD^2."""
    assert CqlConfig().conservative_weight == 2.5
    assert (ComboConfig().real_ratio, ComboConfig().deterministic_backup) == (0.5, True)
    assert (MopoConfig().uncertainty, MopoConfig().real_ratio, MopoConfig().batch_size) == ("max_std", 0.05, 256)
    assert (MobileConfig().samples, MobileConfig().max_alpha, MobileConfig().nonnegative_targets) == (10, 1.0, True)
    rebrac = RebracConfig()
    assert (rebrac.policy_noise, rebrac.noise_clip, rebrac.actor_every, rebrac.hidden) == (0.2, 0.5, 2, (256,) * 3)


@pytest.mark.parametrize(("steps", "epoch_steps", "epochs"), [(1000, 1000, 1), (1001, 1000, 2), (1, 1000, 1)])
def test_steps_are_rounded_up_to_whole_epochs(steps, epoch_steps, epochs):
    assert TrainConfig(steps=steps, epoch_steps=epoch_steps).epochs == epochs


class TestSeeds:
    @pytest.mark.parametrize(
        ("seed", "seeds", "want"),
        [
            (None, None, (0,)),
            (3, None, (3,)),
            (0, None, (0,)),
            (None, "0:3", (0, 1, 2)),
            (None, "2:4", (2, 3)),
            (None, "1,5", (1, 5)),
            (None, "7", (7,)),
            (None, " 1, 2", (1, 2)),
        ],
    )
    def test_what_is_meant(self, seed, seeds, want):
        assert parse_seeds(seed, seeds) == want

    @pytest.mark.parametrize("seeds", ["3:3", "3:1", "1,1", "-1,2", "-2:1", "a", "", "1:2:3", "1,,2", "0:3,5"])
    def test_what_names_no_seeds_is_refused(self, seeds):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(None, seeds)

    def test_both_flags_at_once(self):
        with pytest.raises(UsageError, match="not both"):
            parse_seeds(1, "0:3")

    @pytest.mark.parametrize("seeds", [[-1], [0, -2], []])
    def test_a_run_refuses_the_same(self, seeds):
        with pytest.raises(UsageError, match="setting seeds"):
            policy_config({"dataset": "x", "algorithm": "bc", "seeds": seeds})
