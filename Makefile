# Run `make` to see what there is. Everything happens in .venv, made from the first suitable Python found.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
BIN := $(CURDIR)/.venv/bin
READY := .venv/.installed
STOCKS := examples/stock_prices

.DEFAULT_GOAL := help
MINUTES ?= 10
ON_SPARK := -k "PYSPARK or not (POLARS or DUCKDB)"
NOT_CLASSIC := $(foreach name,interference resume rules spark_connection spark_elsewhere sql_expressions threads,--ignore tests/engines/test_$(name).py)
OVER_CONNECT := $(foreach name,conformance spark_elsewhere,tests/engines/test_$(name).py)

.PHONY: help demo test check format bench bench-memory fuzz soak docs constraints clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later with its venv module is needed; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into .venv (once)"
	@"$(PYTHON)" -m venv --clear .venv
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

demo: $(READY) ## real stock prices from JSONL through bronze, silver and gold to Parquet, and rules for them
	@cd $(STOCKS) && "$(BIN)/python" make_data.py
	@cd $(STOCKS) && "$(BIN)/laktory" run pipeline.yaml
	@cd $(STOCKS) && "$(BIN)/laktory" run gold.yaml
	@cd $(STOCKS) && "$(BIN)/laktory" show gold.yaml gld_stock_prices_monthly --limit 10
	@cd $(STOCKS) && "$(BIN)/laktory" run quality.yaml
	@cd $(STOCKS) && "$(BIN)/laktory" quarantine quality.yaml slv_stock_prices_checked --limit 5
	@echo "Written:" && ls $(STOCKS)/data/*.parquet | sed 's/^/  /'

test: check ## the checks, then the whole test suite; the engine's part of it also on Spark itself, which needs Java 17
	@"$(BIN)/python" -m pytest --numprocesses auto -m "not soak"
	@"$(BIN)/python" -m pytest --numprocesses auto -m "not soak" --spark classic $(ON_SPARK) tests/engines $(NOT_CLASSIC)
	@"$(BIN)/python" -m pytest --numprocesses auto -m "not soak" --spark connect $(ON_SPARK) $(OVER_CONNECT)

soak: $(READY) ## faults in their long form, with numbers: signals, contention, kill -9 at every call; takes two hours or so
	@"$(BIN)/python" -m pytest -m soak -s
	@"$(BIN)/python" tests/faults/soak.py

check: $(READY) ## format, lint, types, layers, cost of imports
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/ruff" check .
	@"$(BIN)/mypy"
	@"$(BIN)/lint-imports" --no-cache
	@"$(BIN)/python" -m pytest --quiet tests/guards/test_imports.py

format: $(READY) ## format and mend what ruff can
	@"$(BIN)/ruff" format .
	@"$(BIN)/ruff" check --fix .

bench: $(READY) ## ratios against the same work by hand, per node, of branches, of rules, of TPC-H, of imports; EVENTS=20000000 for more
	@"$(BIN)/python" benchmarks/seed.py $(if $(EVENTS),--events $(EVENTS))
	@"$(BIN)/python" benchmarks/chain.py
	@"$(BIN)/python" benchmarks/branches.py
	@"$(BIN)/python" benchmarks/quality.py
	@"$(BIN)/python" benchmarks/tpch.py
	@"$(BIN)/python" benchmarks/imports.py

fuzz: $(READY) ## random inputs for MINUTES=10, all targets or those with ONLY=word in their name; prints what failed
	@"$(BIN)/python" tests/fuzz/search.py $(MINUTES) $(ONLY)

bench-memory: $(READY) ## every kind of step with less memory than data (Linux, as root; some GB of disk)
	@"$(BIN)/python" benchmarks/memory.py

docs: $(READY) ## write the tables of the documents anew
	@"$(BIN)/python" docs/formats.py
	@"$(BIN)/python" docs/sql_expressions.py
	@"$(BIN)/python" docs/conformance.py

constraints: ## write constraints.txt anew from the latest versions
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed"; exit 1; }
	@folder=$$(mktemp -d) && "$(PYTHON)" -m venv "$$folder/venv" \
		&& "$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check '.[dev]' \
		&& { sed -n '/^#/p' constraints.txt; "$$folder/venv/bin/python" -m pip freeze --exclude laktory | LC_ALL=C sort -f; } > "$$folder/new" \
		&& cp "$$folder/new" constraints.txt && rm -rf "$$folder"

clean: ## remove .venv, caches and the demo's output
	@rm -rf .venv $(STOCKS)/data $(STOCKS)/.laktory benchmarks/data .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz .import_linter_cache
