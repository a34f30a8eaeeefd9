# Each target makes the virtual environment first if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
comma := ,
DEMO ?= demo
PROFILE ?= quick
LAUNCHER ?= processes
REPRODUCE ?= reproduce
RUNS ?= runs
CONSTRAINTS ?= constraints.txt
EXTRAS ?= dev
# One thread a process, nothing sent, and modules compiled once: a thousand processes would each compile them where the environment forbids it.
TESTING := OMP_NUM_THREADS=1 WANDB_MODE=offline PYTHONDONTWRITEBYTECODE=
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help setup demo reproduce-tables sync dashboards test check docs dist bench bench-gpu clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Install the package and its tools into .venv

# The versions are those of constraints.txt (or CONSTRAINTS=constraints-lowest.txt, the lowest allowed), the extras those of EXTRAS; torch comes first, so that nothing else picks another one.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"highlight-lit needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; name one: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into the virtual environment $(VENV) ($$($(BIN)/python --version)); this takes a minute or two ..."
	@$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	@$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	@touch $@

demo: setup ## From nothing to a table and a picture, in ./demo
	@$(BIN)/highlight-lit demo $(DEMO) --command $(BIN)/highlight-lit

# CORPUS=DIR,DIR takes imported corpora, LAUNCHER=stacked trains cells of one shape together, SET="KEY=VALUE ..." sets more, ARGS passes on what highlight-lit reproduce takes.
reproduce-tables: setup ## All tables and figures (PROFILE=quick or full)
	@WANDB_SILENT=true $(BIN)/highlight-lit reproduce --profile $(PROFILE) --launcher $(LAUNCHER) --out $(REPRODUCE) \
	    $(foreach corpus,$(subst $(comma), ,$(CORPUS)),--corpus $(corpus)) $(ARGS) $(SET)

sync: setup ## Send offline runs to W&B (RUNS="DIR DIR")
	@$(BIN)/python -m experiments.dashboards sync $(REPRODUCE) $(RUNS)

dashboards: setup ## A saved view of each study in W&B (RUNS=...)
	@$(BIN)/python -m experiments.dashboards views $(REPRODUCE) $(RUNS)

# A process that runs out of tests takes some of another's. A comparison of times holds only where nothing else runs, so those come last, one by one.
test: setup ## Run the tests on all cores
	@$(TESTING) $(BIN)/python -m pytest -q --numprocesses auto --dist worksteal -m "not alone"
	@$(TESTING) $(BIN)/python -m pytest -q -m alone $$(grep -rl --include='*.py' '^@pytest.mark.alone' tests)

check: setup ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: setup ## Build the site in build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/mkdocs.yml --site-dir ../build/site && echo build/site/index.html

dist: setup ## Build sdist and wheel in dist/, and look at them
	@$(BIN)/python -m hatchling build -t sdist -t wheel -d dist && $(BIN)/twine check --strict dist/*

bench: setup ## Speeds beside bare loops; to experiments/results/
	@$(BIN)/python -m experiments.benchmarks.bench

bench-gpu: setup ## The same on a CUDA device
	@$(BIN)/python -m experiments.benchmarks.bench_gpu

clean: ## Remove .venv, demo, caches (not runs, reproduce)
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
