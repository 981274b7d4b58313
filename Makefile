# `make help` lists the targets. Everything is installed into .venv by whatever needs it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GENERATOR := build/generator
SETUP := $(VENV)/.installed
PROTOS := $(shell find protos -name '*.proto' 2>/dev/null | sort)
PIP := -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo run test model test-fast check gen pictures fire kills night fuzz lock audit bench bench-peers clean

help: ## list the targets
	@grep -E '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

setup: $(SETUP) ## install everything into .venv (the other targets do it by themselves)

$(SETUP): pyproject.toml services/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --constraint services/constraints.txt pip hatchling
	$(BIN)/python $(PIP) --constraint services/constraints.txt --editable '.[dev]'
	@touch $@

demo: $(SETUP) ## the whole story with real processes, on recordings of real devices; ends by itself
	$(BIN)/consentry demo

run: $(SETUP) ## both services and a live demo customer, until Ctrl-C; prints grpcurl lines to try
	$(BIN)/consentry demo --stay

# A browser that is there is used; Playwright brings one where there is none.
BROWSER := build/browser/.found
$(BROWSER): $(SETUP)
	@mkdir -p $(@D)
	@test -n "$$CONSENTRY_BROWSER" || command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| $(BIN)/playwright install chromium || { echo "no browser: install Debian's chromium, or set CONSENTRY_BROWSER"; exit 1; }
	@touch $@

test: $(SETUP) $(BROWSER) ## the whole test suite, but for what `make fire` runs alone
	$(BIN)/python -m pytest -n 3 --dist loadgroup -m 'not attack and not alone'
	$(BIN)/python -m pytest -m alone

FIRE_SECONDS ?= 600
fire: $(SETUP) ## the barrier under fire: processes killed, stopped, cut off and attacked for ten minutes, and each attack alone; FIRE_SECONDS= for another time
	FIRE_SECONDS=$(FIRE_SECONDS) $(BIN)/python -m pytest -q -s tests/e2e/test_barrier_under_fire.py
	$(BIN)/python -m pytest -q -s -m attack

FEED_KILLS ?= 120
kills: $(SETUP) ## the feed under kills: gateway, device-data service and reader killed more than a hundred times; FEED_KILLS= for another number
	FEED_KILLS=$(FEED_KILLS) $(BIN)/python -m pytest -q -s tests/e2e/test_feed_under_kills.py

NIGHT_POLLS ?= 10000
night: $(SETUP) ## a gateway behind a bad network: ten thousand polls in virtual time, each compared with the truth; NIGHT_POLLS= for another number
	NIGHT_POLLS=$(NIGHT_POLLS) $(BIN)/python -m pytest -q -s tests/e2e/test_gateway_night.py

model: $(SETUP) ## the models of the enforcement protocol and of the feed: a hundred times the runs of `make test`
	CONSENTRY_MODEL_TIMES=100 $(BIN)/python -m pytest tests/model

# A place of its own: the fuzzer is there for some platforms only, and nothing else needs it.
FUZZER := build/fuzzer
FUZZ_INPUTS ?= 1000000
fuzz: $(FUZZER)/.installed ## a million inputs to the parsers that strangers reach, led by coverage; FUZZ_INPUTS= for more
	PYTHONPATH=services:gen:tests $(FUZZER)/bin/python -m fuzz --inputs $(FUZZ_INPUTS) --folder build/fuzz

$(FUZZER)/.installed: pyproject.toml services/constraints.txt
	$(PYTHON) -m venv $(FUZZER)
	$(FUZZER)/bin/python $(PIP) --constraint services/constraints.txt --editable '.[authority,devices,fuzz]'
	@touch $@

test-fast: $(SETUP) ## the tests that take milliseconds each
	$(BIN)/python -m pytest -m 'not slow' tests

check: $(SETUP) $(GENERATOR)/.installed ## format, lint, types, import rules, dead code, protos, generated code
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(MAKE) --no-print-directory gen OUT=build/gen CLIENT=build/gen
	diff -r --exclude=__pycache__ --exclude=py.typed build/gen/consentry gen/consentry
	for file in sync sync_calls; do diff build/gen/$$file.py services/consentry_client/$$file.py || exit 1; done

pictures: $(SETUP) $(BROWSER) ## the README's pictures, from a real browser
	PYTHONPATH=tests $(BIN)/python -m pictures .github/pictures

OUT ?= gen
CLIENT ?= services/consentry_client
gen: $(SETUP) $(GENERATOR)/.installed ## generate code from the protos, and the client without asyncio from the one with
	rm -rf $(OUT)/consentry
	mkdir -p $(OUT)/consentry
	PATH="$(CURDIR)/$(GENERATOR)/bin:$$PATH" $(GENERATOR)/bin/python -m grpc_tools.protoc -I protos \
		--python_out=$(OUT) --grpc_python_out=$(OUT) --mypy_out=quiet:$(OUT) --mypy_grpc_out=quiet:$(OUT) \
		$(PROTOS:protos/%=%)
	touch $(OUT)/consentry/py.typed
	$(BIN)/python services/sync_client.py $(CLIENT)
	$(BIN)/ruff check --quiet --select I,UP028 --fix --unsafe-fixes $(CLIENT)/sync.py $(CLIENT)/sync_calls.py
	$(BIN)/ruff format --quiet $(CLIENT)/sync.py $(CLIENT)/sync_calls.py

# A place of its own: the generator is older than what the services run on, so that older clients can use what it writes.
$(GENERATOR)/.installed: protos/generator.txt
	$(PYTHON) -m venv $(GENERATOR)
	$(GENERATOR)/bin/python $(PIP) --requirement protos/generator.txt
	@touch $@

SUPPLY := build/supply
LOCK := $(SUPPLY)/bin/pip-compile --quiet --constraint services/constraints.txt --unsafe-package consentry
lock: $(SUPPLY)/.installed ## write what the image installs, with hashes; after every change of constraints.txt (needs a registry)
	$(LOCK) --extra demo --extra oidc --output-file services/requirements.lock pyproject.toml
	$(LOCK) --only-build-deps --build-deps-for wheel --output-file services/build.lock pyproject.toml

audit: $(SUPPLY)/.installed ## look what is pinned up among known vulnerabilities (needs the network; fails without it)
	@$(SUPPLY)/bin/pip-audit --strict --progress-spinner off --disable-pip --requirement services/requirements.lock || { status=$$?; \
		echo 'audit: a vulnerability was found (above), or the vulnerability service could not be asked: without the network' \
			'nothing was looked up, and nothing is known to be well' >&2; exit $$status; }

$(SUPPLY)/.installed: services/constraints.txt
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python $(PIP) --constraint services/constraints.txt pip-audit pip-tools
	@touch $@

# Each is a program of its own under tests/bench; what it found is in build/bench/<name>.json.
BENCHES := coverage decision feed gateway history hostile ingest loop memory retention revocation verify

bench: $(BENCHES:%=bench-%) ## all benchmarks, one after the other (alone on the machine, or the figures mean little)

bench-%: $(SETUP) ## one benchmark: bench-coverage bench-decision bench-feed bench-gateway bench-history bench-hostile bench-ingest bench-loop bench-memory bench-retention bench-revocation bench-verify
	PYTHONPATH=tests $(BIN)/python -m bench.$*

# What somebody would pick instead, in a place of its own: nothing else needs it. Cerbos is there for x86-64 Linux only.
PEERS := build/peers
bench-peers: $(PEERS)/.installed ## beside Cerbos, NATS and DuckDB, on the same work in the same run (needs npm)
	PYTHONPATH=tests $(PEERS)/bin/python -m bench.peers

$(PEERS)/.installed: pyproject.toml services/constraints.txt tests/bench/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PIP) --constraint services/constraints.txt --editable '.[dev]'
	$(PEERS)/bin/python $(PIP) --requirement tests/bench/peers.txt
	npm install --silent --no-save --no-package-lock --prefix $(PEERS) @cerbos/cerbos-linux-x64@0.55.0
	@touch $@

clean: ## remove everything that was built or installed here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
