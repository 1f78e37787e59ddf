"""No file that is read can run code: nothing in the sources unpickles, evaluates or imports by a name from data."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "cli", "benchmarks")
FORBIDDEN = {
    "pickle": r"\b(c?[Pp]ickler?|cloudpickle|dill|joblib|shelve|marshal|Unpickler)\b",
    "numpy's pickles": r"allow_pickle\s*=\s*(?!False\b)|\bnp\.load\(|\bnumpy\.load\(|\bloadtxt\(|\bgenfromtxt\(",
    "torch": r"\btorch\b",
    "yaml": r"\byaml\b",
    "eval": r"(?<![\w.])(eval|exec|compile|__import__)\(",
    "import by name": r"\bimport_module\(|\bload_env_creator\b|\brunpy\b|\bimp\.load|\bspec_from_file_location\b",
    "shell": r"\bos\.(system|popen|exec\w*|spawn\w*)\(|shell\s*=\s*True|\bPopen\(",
    "archives onto disk": r"\bextractall\(|\.extract\(|\bunpack_archive\(|\btarfile\b",
    "environments": r"\bgym(nasium)?\.make\w*\(|\brecover_environment\b|\bfrom_json\(|\bminari\.load_dataset\(",
    "spaces": r"\bdeserialize_space\b|\bMinariStorage\b",
    "jax's pickles": r"\bserialize_executable\b",
}
# file, then what of the above it may hold, and why that is not by a name from data
ALLOWED = {
    ("src/orl/__init__.py", "import by name"),  # from a table in that file
    ("src/orl/runs/doctor_packages.py", "import by name"),  # the packages that the installed orl itself requires
    ("src/orl/runs/video_file.py", "shell"),  # a list of words, no shell: ffmpeg, which a package brings
    ("src/orl/evaluation/episodes.py", "environments"),  # the one door: a registered id, or a spec that is trusted
    ("src/orl/data/pendulum.py", "environments"),  # a constant id
    ("src/orl/data/readers/npz.py", "pickle"),  # the refusal
    ("src/orl/deployment/numpy_policy.py", "numpy's pickles"),  # NumPy's default, which refuses them: it stands alone
}


def code_of(path: Path) -> str:
    """A module without its comments and docstrings, where words may stand."""
    import io
    import tokenize

    kept = []
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        is_text = token.type == tokenize.STRING and token.line.strip().startswith(('"""', 'r"""'))
        if token.type != tokenize.COMMENT and not is_text:
            kept.append(token)
    return "".join(tokenize.untokenize(kept))


def found_in(text: str) -> set[str]:
    """The names in FORBIDDEN whose pattern is in `text`."""
    return {what for what, pattern in FORBIDDEN.items() if re.search(pattern, text)}


SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_no_module_runs_what_it_reads() -> None:
    assert len(SOURCES) > 200
    found = {(str(path.relative_to(ROOT)), what) for path in SOURCES for what in found_in(code_of(path))}
    assert found <= ALLOWED
    assert ALLOWED - {("src/orl/data/readers/npz.py", "pickle")} <= found  # none allowed in vain


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "pickle"),
        ("np.load(file, allow_pickle=True)", "numpy's pickles"),
        ("np.savez(file, allow_pickle = unsafe)", "numpy's pickles"),
        ("torch.load(file)", "torch"),
        ("yaml.load(file)", "yaml"),
        ("x = eval(text)", "eval"),
        ("importlib.import_module(name)", "import by name"),
        ("os.system(command)", "shell"),
        ("archive.extractall(folder)", "archives onto disk"),
        ("env = gym.make(spec)", "environments"),
        ("dataset.recover_environment()", "environments"),
    ],
)
def test_the_patterns_find_what_they_are_for(line: str, what: str) -> None:
    assert what in found_in(line)


def test_words_that_only_look_like_it_are_let_through() -> None:
    assert found_in("model.eval_every; re.compile(pattern); jit.lower().compile(); evaluate(x); np.load_not") == set()


def test_a_checkpoint_is_read_without_a_pickle(tmp_path: Path) -> None:
    """Python reports every class that a pickle asks for and every piece of code that is compiled or run by name."""
    import jax.numpy as jnp

    from orl.runs.checkpoints import Checkpoints, read_latest

    tree = {"weights": jnp.arange(6.0).reshape(2, 3), "count": jnp.asarray(7)}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(3, {"state": tree})
    checkpoints.close()
    events, watching = [], [True]

    def watch(event: str, arguments: tuple) -> None:
        if watching[0] and event in ("pickle.find_class", "os.system", "subprocess.Popen", "marshal.loads"):
            events.append((event, arguments))

    sys.addaudithook(watch)
    step, items = read_latest(tmp_path / "checkpoints", state=tree)
    watching[0] = False
    assert (step, items["state"]["weights"].tolist(), int(items["state"]["count"])) == (3, [[0, 1, 2], [3, 4, 5]], 7)
    assert [each for each in events if each[0] != "marshal.loads"] == []
