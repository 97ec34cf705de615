# One command per need. The first one run makes .venv and installs into it; nothing else is ever asked.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.8
INSTALLED := .venv/.installed
SOURCES := bfl_fabric chaincode/bfl_chaincode tests protos

.PHONY: help install demo test test-extended check bench bench-ledger bench-he bench-rounds bench-scale docs lock protos clean

help:
	@echo "make demo    run the whole story: encrypted, ledger-settled, audited training on real data"
	@echo "make test    run the tests"
	@echo "make test-extended   the suites that make test runs on Fabric 3.1 with Raft, on BFT and on 2.5 as well"
	@echo "make check   format, lint, types, layers"
	@echo "make bench   measure, side by side with what it must beat, and print the tables of docs/benchmarks.md"
	@echo "make bench-ledger   the ledger under load: embedded and real Fabric, beside Node and Java contracts"
	@echo "make bench-he   encrypted aggregation beside TenSEAL, NVFLARE, Flower's SecAgg+ and OpenFHE"
	@echo "make bench-rounds   whole rounds of a federation with each scheme, beside the same rounds in the clear"
	@echo "make bench-scale   ten thousand simulated participants, and models of ten million parameters, on this machine"
	@echo "make docs    bring the generated parts of the documentation up to date"
	@echo "make clean   leave the clone as it was"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 14) else "bfl-fabric needs Python 3.11 to 3.14 (TenSEAL has wheels for these), but $(PYTHON) is %d.%d. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" % v[:2])'
	@echo "Installing into .venv (PyTorch and its libraries are about 3 GB; this happens once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/python -m bfl_fabric demo

test: $(INSTALLED)
	@$(BIN)/python -m pytest -m "not extended" --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-extended: $(INSTALLED)
	@$(BIN)/python -m pytest -m extended

check: $(INSTALLED)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(INSTALLED)
	@$(BIN)/python -m bfl_fabric bench

bench-ledger: $(INSTALLED)
	@$(BIN)/python -m tests.benchmarks.ledger --write docs/benchmarks.md

bench-he: $(INSTALLED)
	@$(BIN)/python -m tests.benchmarks.he --write docs/benchmarks.md

bench-rounds: $(INSTALLED)
	@$(BIN)/python -m tests.benchmarks.rounds --write docs/benchmarks.md

bench-scale: $(INSTALLED)
	@$(BIN)/python -m bfl_fabric bench scale --write docs/benchmarks.md

docs: $(INSTALLED)
	@$(BIN)/python -m bfl_fabric.cli.reference

lock:
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --quiet --output-file requirements.lock
	uv pip compile network/requirements.in --constraint requirements.lock --prerelease=allow --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --quiet --output-file network/requirements.lock

protos: $(INSTALLED)
	@$(BIN)/python protos/generate.py

clean:
	@rm -rf .venv bfl-demo bfl-network build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
