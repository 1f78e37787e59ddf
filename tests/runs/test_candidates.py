"""The file of candidates: what its entries mean, and errors that name the file, the entry and the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orl.errors import UsageError
from orl.runs.candidate_file import default_set, read_candidates
from orl.runs.candidates import penalty_share, resolve_candidate, resolve_model, with_shared_history

SHARED = """
[shared]
model = { hidden = [16], weight_decay = [0, 0], max_epochs = 7 }
agent = { hidden = [32], discount = 0.9 }
train = { epoch_steps = 100 }
"""
BC = '[[candidate]]\nname = "bc"\nalgo = "bc"\n'
MOPO = '[[candidate]]\nname = "short"\nalgo = "mopo"\nseed = 3\nsteps = 500\nset = { agent.rollout_length = 2 }\n'


def test_shared_settings_reach_every_algorithm_that_has_them(tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    file.write_text(SHARED + BC + MOPO)
    candidates = read_candidates(file)
    bc, mopo = candidates.candidate
    cloned, presets = resolve_candidate("some/log", candidates, bc, 0)
    assert (cloned.algorithm, cloned.seeds, cloned.train.steps, cloned.train.epoch_steps) == ("bc", (0,), 20_000, 100)
    assert cloned.agent.hidden == (32,)
    assert [preset.path for preset in presets] == ["default/all.toml"]
    trained, _ = resolve_candidate("some/log", candidates, mopo, 0, 200)
    assert (trained.agent.discount, trained.agent.rollout_length, trained.agent.hidden) == (0.9, 2, (32,))
    assert (trained.seeds, trained.train.steps, trained.model.max_epochs) == ((3,), 200, 7)
    assert trained.agent.normalise_obs  # from the presets for logs that nobody has tuned anything for
    fit, _ = resolve_model("some/log", candidates, 0, 4)
    assert (fit.model.hidden, fit.model.max_epochs, fit.model.standardise_targets) == ((16,), 4, True)


def test_a_stated_penalty_is_a_setting_and_a_calibrated_one_a_share(tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    file.write_text(MOPO + "penalty = 2.5\n" + MOPO.replace("short", "long") + 'penalty = "calibrated"\nshare = 0.8\n')
    candidates = read_candidates(file)
    stated, calibrated = candidates.candidate
    assert resolve_candidate("some/log", candidates, stated, 0)[0].agent.penalty_coef == 2.5
    assert (penalty_share(stated), penalty_share(calibrated)) == (None, 0.8)
    assert resolve_candidate("some/log", candidates, calibrated, 3)[0].history == 3


def test_what_an_entry_sets_wins_over_what_is_shared(tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    file.write_text(SHARED + MOPO.replace("rollout_length = 2", "discount = 0.5"))
    candidates = read_candidates(file)
    config, _ = resolve_candidate("some/log", candidates, candidates.candidate[0], 0)
    assert (config.agent.discount, config.agent.rollout_length) == (0.5, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no candidate; begin one with [[candidate]], a name and an algo"),
        ("candidates = 3", "unknown table candidates; did you mean candidate?"),
        ("shared = 3\n" + BC, "shared is a table of settings, not 3"),
        ("candidate = [1]", "candidate 1 is a table of settings, not 1"),
        ('[[candidate]]\nname = "x"', "candidate 1 (x): lacks algo"),
        (BC + '[[candidate]]\nnmae = "x"\nalgo = "bc"', "candidate 2: unknown setting nmae; did you mean name?"),
        (BC + "stepps = 3", "candidate 1 (bc): unknown setting stepps; did you mean steps?"),
        (BC + "steps = 0", "candidate 1 (bc): setting steps = 0: input should be greater than or equal to 1"),
        (BC + BC, "candidate 2 (bc): name = 'bc': another candidate has that name"),
        (BC.replace('"bc"', '"a/b"', 1), "candidate 1 (a/b): name = 'a/b': letters, digits, dots, hyphens"),
        (MOPO.replace("mopo", "mopoo"), "candidate 1 (short): algo = 'mopoo': unknown algorithm; did you mean mopo?"),
        (BC + "penalty = 2.0", "candidate bc: bc subtracts no such penalty from rewards; --penalty goes with mopo"),
        (MOPO.replace("rollout_length", "penalty_coef") + 'penalty = "calibrated"', "decides agent.penalty_coef"),
        (MOPO + 'penalty = "calibrated"\nshare = 1.0', "candidate 1 (short): setting share = 1.0"),
        (MOPO + 'penalty = "calibrate"', "candidate 1 (short): setting penalty"),
        (
            MOPO + 'init = "bc"',
            "candidate 1 (short): init = 'bc': expected the name of a bc candidate further up; there",
        ),
        (BC + MOPO + 'init = "cb"', "init = 'cb': expected the name of a bc candidate further up; did you mean bc?"),
        (BC + "set = { model.members = 3 }", "candidate 1 (bc): set.model: this is for the table [shared]"),
        (BC + "set = { train.steps = 3 }", "candidate 1 (bc): set.train.steps: the entry's own key steps has it"),
        (BC + "set = { train = 3 }", "candidate 1 (bc): set.train is a table of settings, not 3"),
        (BC + "set = { agent = 3 }", "candidate bc: setting agent is a table of settings, not 3"),
        (BC + "set = { agnt.hidden = [3] }", "candidate bc: unknown setting agnt; did you mean agent?"),
        (MOPO.replace("rollout_length", "rolout_length"), "candidate short: unknown setting agent.rolout_length; did"),
        ("[shared]\nmodle = {}\n" + BC, "unknown setting shared.modle; did you mean model?"),
        ("[shared]\nmodel = { membres = 3 }\n" + BC, "shared: unknown setting model.membres; did you mean members?"),
        ("[shared]\nagent = { hiden = [3] }\n" + BC, "unknown setting shared.agent.hiden; did you mean hidden?"),
        ("[shared]\ntrain = { steps = 3 }\n" + BC, "shared.train.steps: each candidate has a key steps of its own"),
        ("[budget]\nmodels = 0.1\n" + BC, "unknown setting budget.models; did you mean model?"),
        ("[budget]\nmodel = 0.9\n" + BC, "budget.model 0.9 and budget.judgement 0.2 leave no time for training"),
    ],
)
def test_a_slip_is_one_line_with_file_entry_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read_candidates(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_candidate_on_the_shared_model_has_its_history(tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    file.write_text(BC + "history = 1\n" + MOPO + "history = 2\n")
    candidates = read_candidates(file)  # what "auto" will say is not known yet
    with pytest.raises(UsageError, match=r"candidate short: history = 2: mopo rolls out in the shared ensemble, whose"):
        resolve_candidate("some/log", candidates, candidates.candidate[1], 0)
    file.write_text("[shared]\nhistory = 1\n" + MOPO + "history = 2\n")
    with pytest.raises(UsageError, match=re.escape(f"{file}: candidate short: history = 2: mopo rolls out")):
        read_candidates(file)


def test_a_start_from_another_history_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    file.write_text(BC + "history = 1\n" + MOPO + 'init = "bc"\n')
    candidates = with_shared_history(read_candidates(file), 0)
    with pytest.raises(UsageError, match="init = 'bc': its actor sees a history of 1, this one of 0"):
        resolve_candidate("some/log", candidates, candidates.candidate[1], 0)


def test_the_shipped_set_is_sound_and_as_small_as_it_says() -> None:
    candidates = read_candidates(default_set())
    assert len(candidates.candidate) <= 6
    assert all(each.steps <= 20_000 for each in candidates.candidate)
    assert candidates.candidate[0].algo == "bc"
