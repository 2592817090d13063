# Two commands: `make demo` shows gatepost at work, `make test` proves it. Both install what they miss.

PYTHON := .venv/bin/python
ARGS ?=
TARGET ?= all
MINUTES ?= 10
# One more than the cores of a small machine: many tests wait for a server, not for the processor.
WORKERS ?= 3

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check lint types contracts unit fuzz bench setup setup-test freeze clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## show gatepost at work (ARGS=--once to show and leave, ARGS='--mta postfix' for a real Postfix)
	@.venv/bin/gatepost demo $(ARGS)

test: setup-test lint types contracts ## prove everything: style, types, contracts, and all tests
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile $(ARGS) </dev/null

check: setup lint types contracts unit ## the quick part of `make test` (without slow tests), under a minute

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

contracts: setup
	.venv/bin/lint-imports

unit: setup
	$(PYTHON) -m pytest -n 2 -q -m "not slow and not e2e" tests/unit $(ARGS) </dev/null

fuzz: setup-test ## try inspection on what a fuzzer makes of the corpus (MINUTES=10, TARGET=all)
	@$(PYTHON) -c 'import atheris' 2>/dev/null || $(PYTHON) -m pip install -q -c tests/constraints.txt -e '.[fuzz]'
	$(PYTHON) tests/fuzz/run.py $(TARGET) $(MINUTES)

bench: setup-test ## messages a second beside a do-nothing filter and rspamd (ARGS='--profile 0' for a flame graph)
	@mkdir -p tests/bench/results
	$(PYTHON) tests/bench/throughput.py --against tests/bench/results/last.json --keep tests/bench/results/last.json $(ARGS)

setup:
	@tests/setup.sh run

setup-test:
	@tests/setup.sh test

freeze: ## pin the versions of .venv in tests/constraints.txt
	@tests/setup.sh freeze

clean: ## remove what can be made again, .venv included
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
