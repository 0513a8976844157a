# Two commands matter: `make backtest` and `make test`. Both set up what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
RUST := Cargo.toml Cargo.lock $(shell find engine_rs -name '*.rs' -o -name Cargo.toml)
CATALOG ?= data_catalog
# From the venue's files to the catalog: instrument and the files of it.
RECORDED := \
	BTCUSDT-PERP.BINANCE=binance_usdm/btcusdt_*.gz \
	ETHUSDT-PERP.BINANCE=binance_usdm/ethusdt_*.gz \
	BTCUSDT.BINANCE=binance_spot/btcusdt_*.gz \
	ETHUSDT.BINANCE=binance_spot/ethusdt_*.gz \
	BTCUSD-PERP.BINANCE=binance_cm/btcusd_perp_*.gz

export CARGO_TERM_PROGRESS_WHEN := never

.PHONY: help setup peers backtest test dst canaries fuzz notebooks bench lint format lock clean

help:
	@echo "make backtest  set everything up, get data, run the market maker, write its report"
	@echo "               (COBALT_RECORDINGS=FOLDER trades the Binance recordings in it)"
	@echo "make test      set everything up and run all tests"
	@echo "make dst       simulation tests: SEEDS=1000, SECONDS=600, or SEED=… as a failure printed it"
	@echo "make canaries  plant a bug of each kind and see that the simulation tests find it"
	@echo "make fuzz      fuzz what reads bytes from outside, SECONDS=30 each (needs a C++ compiler)"
	@echo "make notebooks execute the notebooks on testnet data; with COBALT_RECORDINGS the tear sheet on it"
	@echo "make bench     time the hot paths, with hftbacktest beside them (a large download)"
	@echo "make peers     install hftbacktest, so that tests compare with it as well"
	@echo "make lint      formatting, clippy, ruff, mypy"
	@echo "make format    format the code"
	@echo "make lock      write the lock files anew (UPGRADE=1: with the newest versions)"
	@echo "make clean     remove the environment and what was built"

setup: $(VENV)/.built

# What builds a package that has no wheel is bound by the lock as well.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes \
	--build-constraints requirements.lock -r

# The environment: the system's Python; pip installs the locked uv, and uv all the rest of the lock.
$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Cobalt needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r $(VENV)/uv.lock
	$(INSTALL) requirements.lock
	touch $@

# The extension, in release, and the package, editable. Nothing is resolved: the lock has it all.
$(VENV)/.built: $(VENV)/.installed pyproject.toml $(RUST)
	PATH="$(BIN):$$PATH" $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--no-deps --no-build-isolation --editable .
	touch $@

backtest: $(VENV)/.built
ifdef COBALT_RECORDINGS
	@set -e; for entry in $(foreach item,$(RECORDED),'$(item)'); do \
		$(BIN)/cobalt import instrument="$${entry%%=*}" catalog=$(CATALOG) \
			path="$(COBALT_RECORDINGS)/$${entry#*=}"; \
	done
	$(BIN)/cobalt backtest strategy=market_maker instrument=BTCUSDT-PERP.BINANCE catalog=$(CATALOG)
else
	$(BIN)/cobalt testnet catalog=$(CATALOG)
	$(BIN)/cobalt backtest strategy=market_maker instrument=BTCUSDT-PERP.TESTNETA catalog=$(CATALOG)
endif

test: $(VENV)/.built
	cargo test --release --quiet --locked
	$(DST) SEEDS=100
	$(DST) SEEDS=100 FIRST=$$(date +%s)
	$(BIN)/python -m pytest

# docs/simulation.md says what they do.
DST = cargo run --release --quiet --locked -p cobalt-dst --
dst:
	$(DST) SEED=$(SEED) MESSAGES=$(MESSAGES) WITHOUT=$(WITHOUT) SEEDS=$(SEEDS) \
		SECONDS=$(SECONDS) FIRST=$(FIRST) JOBS=$(JOBS)

canaries:
	cargo run --release --quiet --locked -p cobalt-dst --features canaries \
		--target-dir target/canaries -- CANARIES=1

# libFuzzer's coverage by options of the stable compiler; docs/simulation.md says what is fuzzed.
FUZZ := journal records binance recording events
HOST = $(shell rustc -vV | sed -n 's/host: //p')
SANCOV := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
	-Clink-dead-code -Ccodegen-units=1
fuzz:
	cd engine_rs/fuzz && RUSTFLAGS="--cfg fuzzing $(SANCOV)" \
		cargo build --release --quiet --locked --target $(HOST)
	@set -e; cd engine_rs/fuzz; for target in $(FUZZ); do \
		mkdir -p target/corpus/$$target artifacts/$$target; \
		target/$(HOST)/release/$$target target/corpus/$$target corpus/$$target \
			-max_total_time=$(or $(SECONDS),30) -artifact_prefix=artifacts/$$target/ \
			-print_final_stats=1 2>&1 | tee target/$$target.log | grep -E "DONE|panicked|ERROR" || \
			{ tail -40 target/$$target.log; exit 1; }; \
		! grep -q "ERROR" target/$$target.log; \
	done

# What they show is not kept: outputs would be of one machine. An error in a cell ends it.
notebooks: $(VENV)/.built
	$(BIN)/jupyter-execute --timeout 120 notebooks/*.ipynb

# hftbacktest, for `make bench` and for the tests that compare with it (skipped without it).
peers: $(VENV)/.peers

bench: $(VENV)/.built $(VENV)/.peers
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only --benchmark-quiet \
		--timeout 600

# After the build, never beside it: both write into the environment.
$(VENV)/.peers: requirements-bench.lock $(VENV)/.installed | $(VENV)/.built
	$(INSTALL) requirements-bench.lock
	touch $@

lint: $(VENV)/.built
	cargo fmt --check
	cargo clippy --release --all-targets --locked --quiet -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.built
	cargo fmt
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The peer bounds numpy, so its lock is resolved first and the other chosen from it.
COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --group dev --extra notebooks --universal --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(if $(UPGRADE),--upgrade)

lock: $(VENV)/.installed
	$(COMPILE) --extra bench --extra nautilus --output-file requirements-bench.lock
	$(COMPILE) --constraints requirements-bench.lock --output-file requirements.lock

clean:
	rm -rf $(VENV) target
