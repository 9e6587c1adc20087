# make demo   generate with the embedded systems, score, print Tables 1 and 2 of the embedded benchmark, and write a page
# make test   run the test suite
# make test-slow   what takes minutes: every command of the documents, the whole demo, real weights, which it fetches
# make bench  measure speed here, against the tools one would otherwise run (20 minutes): bench/results.json, docs/speed.md
# make check  lint and type-check
# make docs   build the documentation site in docs-site/site; fails at a link that leads nowhere
# Each works from nothing but Python (3.11 or newer) and make: the first one makes .venv and installs into it.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-slow bench check docs clean

demo: $(VENV)/.installed
	$(BIN)/t2av-bench demo --out demo-run

# The tests start a thousand processes: what Python compiles is to be kept, whatever the environment asks for.
unexport PYTHONDONTWRITEBYTECODE

# One process more than there are cores: a fifth of the time the tests wait for programs that they have started.
PROCESSES = $(shell $(BIN)/python -c 'from t2av_bench.utils.machine import cores; print(min(4, cores() + 1))')

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(PROCESSES) --dist worksteal

# Files without such a test are not even imported.
test-slow: $(VENV)/.installed
	T2AV_BENCH_FETCH_WEIGHTS=1 $(BIN)/python -m pytest -m slow --numprocesses auto --maxprocesses 4 --dist worksteal \
	  $$(grep -rl --include='*.py' mark.slow tests)

# A step that fails or is too slow is a reason in the file. One again: .venv/bin/python bench/suite.py --only table1_speed
bench: $(VENV)/.installed
	$(BIN)/python bench/suite.py
	$(BIN)/python bench/speed_page.py

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/python website/build.py

# --no-compile: of 25,000 files most are never imported, and pip would take a core a minute for all of them.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo-run build docs-site *.egg-info
