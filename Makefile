# `make` lists the targets. Everything runs in .venv, which requirements/bootstrap.py makes and keeps up to date.
PYTHON ?= python3

VENV_PATH = PATH="$(CURDIR)/.venv/bin:$$PATH"
ARGS ?=

# A PYTHONPATH of the caller would put other versions before the pinned ones.
unexport PYTHONPATH PYTHONHOME

# A process per core, and no more than memory allows; tests of one file share what they set up.
PYTEST = python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# Threads that spin long while they wait cost several times the time where the machine has other work, as in CI.
test check: export GOMP_SPINCOUNT ?= 400

.PHONY: help setup demo demo-pipeline test check bench evidence reproduce-toy clean

help:
	@echo 'make demo    set up, draw toy animals, train CLAMP on them, test it, draw what it sees'
	@echo 'make demo-pipeline  the same for a detector of animals by name, then from pictures to poses by both'
	@echo 'make test    set up, run the tests (ARGS="-k name -x" goes to pytest)'
	@echo 'make check   set up, run ruff and the tests'
	@echo 'make bench   set up, measure speed and memory, write docs/benchmarks.md'
	@echo 'make evidence  set up, train toy models with and without parts of a method, write docs/evidence.md'
	@echo 'make reproduce-toy  set up, run the protocols of CLAMP on toy animals, write docs/reproduce_toy.md'
	@echo 'make setup   make .venv with the pinned set, or bring it up to date'
	@echo 'make clean   remove what builds and tools leave behind; .venv, data and work_dirs stay'
	@echo
	@echo 'make PYTHON=python3.11 ... chooses the Python of .venv (3.11 or 3.12).'

setup:
	@"$(PYTHON)" requirements/bootstrap.py $(if $(filter file,$(origin PYTHON)),,--this-python)

demo: setup
	@$(VENV_PATH) clamp-mmpose demo

demo-pipeline: setup
	@$(VENV_PATH) clamp-mmpose demo-pipeline

test: setup
	@$(VENV_PATH) $(PYTEST) $(ARGS)

check: setup
	@$(VENV_PATH) ruff check .
	@$(VENV_PATH) $(PYTEST) $(ARGS)

bench: setup
	@$(VENV_PATH) clamp-mmpose bench --out docs/benchmarks.md

evidence: setup
	@$(VENV_PATH) clamp-mmpose evidence --out docs/evidence.md

reproduce-toy: setup
	@$(VENV_PATH) clamp-mmpose reproduce clamp --toy --out docs/reproduce_toy.md

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find clamp_mmpose configs requirements tests -name __pycache__ -type d -prune -exec rm -rf {} +
