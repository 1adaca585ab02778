# Everything a newcomer needs, from a bare Python 3.11+: `make demo`, `make test`, `make up`, `make down`.
.DEFAULT_GOAL := help
.PHONY: help setup demo test up down check lock clean

# the first that runs and is new enough: a shim on the path may exist and still refuse
IS_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for candidate in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$candidate" -c '$(IS_ENOUGH)' >/dev/null 2>&1 && echo "$$candidate" && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

help:
	@echo "make demo   install into .venv, start the stack and walk through a retailer's day"
	@echo "make up     start the stack in the background      make down   stop it; its data stays in var/"
	@echo "make test   run the tests                          make check  lint, types, import rules"
	@echo "make lock   renew requirements.lock                make clean  stop the stack, remove .venv and caches"

setup: $(INSTALLED)

demo: setup
	$(BIN)/doms demo $(ARGS)

up: setup
	$(BIN)/doms up $(ARGS)

down: setup
	$(BIN)/doms down $(ARGS)

# two processes, each with servers of its own; files go to them in order, the longest tests are in the first
test: setup
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pip check

# an environment whose interpreter is gone, after a move or an upgrade, is built anew
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "DOMS needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv \
		|| { echo "$(PYTHON) cannot create an environment; is its venv module (python3-venv) installed?" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# universal: one lock for every platform and every Python from 3.11 on; no registry and no path is written into it
lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra local --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet --output-file requirements.lock $(ARGS)

clean:
	test ! -x $(BIN)/doms || $(BIN)/doms down
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
