# `make demo` and `make test` do all the set-up themselves, on a machine with only Python and git.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.orl-installed
EXTRAS ?= dev,mujoco,report,export,video,tensorboard,docs
WORKERS ?= 2

EARLIER ?= benchmarks/results/quick-cpu.json
CRASH ?= runs/crash.json
FUZZ ?= --files 500 --seed 0
# what every command does on a tiny log, and that the numbers are those written down
SMOKE ?= tests/compat tests/golden $(addprefix tests/cli/test_,json_documents.py planning.py judging.py data_import.py)
OLDEST := .venv-oldest
OLDEST_PYTHON ?= $(firstword $(shell command -v python3.11) $(PYTHON))

.PHONY: demo docs docs-check test oldest slow crash crash-sample fuzz lint types bench bench-check ranking build clean install

install: $(READY)

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	touch $@

demo: $(READY)
	$(BIN)/orl demo

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# the site, into docs/_build/html, without a network; any warning fails it
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

# every command and every Python snippet of README and docs, with small settings
docs-check: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m docs tests/docs

# every command with the oldest versions that pyproject.toml allows
oldest: $(OLDEST)/.orl-installed
	$(OLDEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(SMOKE)

$(OLDEST)/.orl-installed: pyproject.toml tests/compat/oldest.py $(READY)
	test -x $(OLDEST)/bin/python || $(OLDEST_PYTHON) -m venv $(OLDEST)
	$(BIN)/python tests/compat/oldest.py mujoco > $(OLDEST)/oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet -c $(OLDEST)/oldest.txt -e '.[mujoco]' pytest pytest-xdist hypothesis scipy
	touch $@

slow: $(READY)
	$(BIN)/python -m pytest -m slow

# twenty of the moments of `make crash`
crash-sample: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m crash tests/crash

# kills every command at 200 random moments and starts it again; goes on where it was stopped itself
crash: $(READY)
	PYTHONPATH=tests:tests/crash $(BIN)/python -m crash_campaign --out $(CRASH)

# 500 broken files of every format through one process that reads them; a sample of it is among the tests
fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz.py $(FUZZ)

lint: $(READY)
	$(BIN)/ruff check src cli tests benchmarks docs
	$(BIN)/ruff format --check src cli tests benchmarks docs

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/orl bench --quick

# fails when a benchmark lost more of the machine's own rate than its margin allows
bench-check: $(READY)
	$(BIN)/orl bench --quick --json --compare $(EARLIER)

# hours: trains the candidates of four datasets, judges them offline, then plays them in the simulator
ranking: $(READY)
	$(BIN)/python -m orl_bench.ranking --out runs/ranking

build: $(READY)
	$(BIN)/python -m build

clean:
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache
