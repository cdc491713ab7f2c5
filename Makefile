# Every target makes .venv from the hash-pinned lock first; uv does it when it is there.
.DEFAULT_GOAL := help
.PHONY: help demo test test-docker test-browser statistics simulate mutants chaos chaos-full bench bench-peers lint clean lock lock-peers lock-browser bench-labels
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Images set it, and uv installs no bytecode: each of the hundreds of processes that tests start would compile all it
# imports anew, which takes as long again as importing it.
unexport PYTHONDONTWRITEBYTECODE
# of the tests, which wait more than they compute: three keep two cores busy
WORKERS ?= 3

help:            ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.venv/.ready: requirements.lock pyproject.toml
	@echo "making .venv from requirements.lock (a minute, once)"
	@command -v uv >/dev/null && uv venv -q --clear --python $(PYTHON) .venv || $(PYTHON) -m venv --clear .venv
	@if command -v uv >/dev/null; then \
	  uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock; \
	  uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

demo: .venv/.ready   ## the main job on real data, from an empty machine to the audit's word (ARGS="--keep --events 20000")
	@$(BIN)/streambg demo $(ARGS)

test: .venv/.ready   ## every test, on real brokers and Redis servers (WORKERS=0: all in one process, for a debugger)
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-docker: .venv/.ready   ## what needs a Docker engine: servers in containers
	@$(BIN)/python -m pytest -m docker $(ARGS)

# what the tests drive a browser with; the browser itself is the machine's (apt-get install chromium-headless-shell)
.venv/.browser: .venv/.ready tests/browser/requirements.txt
	@if command -v uv >/dev/null; then \
	  uv pip install -q --python $(BIN)/python --require-hashes -r tests/browser/requirements.txt; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/browser/requirements.txt; \
	fi
	@touch $@

test-browser: .venv/.browser   ## a replay's report in headless Chromium (REPORT=FILE: of that one, SCREENSHOT=FILE: a picture)
	@REPORT=$(REPORT) SCREENSHOT=$(SCREENSHOT) $(BIN)/python -m pytest -m browser tests/browser $(ARGS)

simulate: .venv/.ready   ## 10,000 seeds of the simulator (ARGS="--first 10000", "--seed 77", "--mutants")
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds 10000 $(ARGS)

mutants: .venv/.ready   ## every rule broken once: the test that notices (ARGS="--only P7")
	@$(BIN)/python tests/rules_broken.py $(ARGS)

statistics: .venv/.ready   ## what the gate's guarantees and its speed come to on 2,000 streams of known truth (ARGS="--only delay")
	@PYTHONPATH=tests $(BIN)/python -m decisions $(ARGS)

chaos: .venv/.ready   ## faults on real brokers, scaled to an hour; goes on where it was stopped (ONLY=C1: one of them)
	@PYTHONPATH=tests:. $(BIN)/python -m chaos --report docs/reliability.md $(addprefix --only ,$(ONLY)) $(ARGS)

chaos-full: .venv/.ready   ## the full counts, row by row; goes on where it was stopped
	@PYTHONPATH=tests:. $(BIN)/python -m chaos --size full --report docs/reliability.md $(addprefix --only ,$(ONLY)) $(ARGS)

bench: .venv/.ready   ## streambg beside the raw client's loops on one broker (ARGS="--quick", ARGS="--only a,d")
	@$(BIN)/streambg bench $(if $(ARGS),$(ARGS),--report docs/performance.md)

bench-labels: .venv/.ready   ## memory and time of what waits for labels, on a Redis of its own (ARGS="--rows 1000000")
	@$(BIN)/python -m benchmarks.labels $(ARGS)

bench-peers: .venv/.ready   ## streambg beside Kafka Streams, Quix Streams, Bytewax, ... (ARGS="--quick --only faust:hop")
	@$(BIN)/python -m benchmarks.peers $(ARGS)

lint: .venv/.ready   ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lock-peers:      ## pin the peers' environments (needs uv)
	for name in bytewax faststream faust quix-streams; do \
	  (cd benchmarks/peers/requirements && \
	   uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate -o $$name.txt $$name.in) || exit 1; \
	done

lock-browser:    ## pin what drives the browser of `make test-browser` (needs uv)
	cd tests/browser && uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate -c ../../requirements.lock -o requirements.txt requirements.in

lock: .venv/.ready   ## pin what pyproject.toml asks for (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-package streambg --extra dev --group lock -o requirements.lock pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-package streambg --group lock -c requirements.lock -o requirements-run.lock pyproject.toml

clean:           ## what the targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
