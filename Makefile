# Every target makes its own .venv; a fresh machine needs Python 3.11 or later, nothing else.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: demo test test-processors check bench bench-quick fuzz wheel site format clean

$(VENV)/run.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/run.stamp  ## simulates a whale among boats, finds its calls, prints true and found directions
	$(BIN)/whalefinder demo --out whalefinder-demo

check: $(VENV)/dev.stamp  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/dev.stamp check  ## everything that CI runs
	$(BIN)/python -m pytest -q -n 2

test-processors: $(VENV)/dev.stamp  ## the tests of the networks with the kernels of other processors
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -q -n 2 -m networks
	WHALEFINDER_TEST_NO_MKLDNN=1 $(BIN)/python -m pytest -q -n 2 -m networks

bench: $(VENV)/dev.stamp  ## writes bench/RESULTS.md (about an hour)
	$(BIN)/python -m bench --trials 100

bench-quick: $(VENV)/dev.stamp  ## a look at the dev split, few trials, prints only
	$(BIN)/python -m bench --split dev --trials 12 --no-peers --parts accuracy --print

fuzz: $(VENV)/dev.stamp  ## reads 20,000 sound files with damaged headers
	$(BIN)/python -m bench.fuzz --files 20000

wheel: $(VENV)/dev.stamp  ## dist/: the source archive, and the wheel built from it
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

site: $(VENV)/dev.stamp  ## site/: the documentation; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache whalefinder-demo
