# `make run`: set-up, then the quickstart.  `make test`: set-up, then everything CI runs.
# `make bench`: set-up, then the short version of all benchmarks.
SHELL := /bin/bash
PY := .venv/bin/python
PUBLIC_DATA := $(abspath ../shared/data)
ifneq ($(wildcard $(PUBLIC_DATA)),)
export EVALKIT_DATA ?= $(PUBLIC_DATA)
endif

# The tests start evalkit a hundred times; it need not be compiled anew each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check lint types fast bench docs setup clean

run: setup
	.venv/bin/evalkit run suites/quickstart.yaml

setup:
	@scripts/setup.sh

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types:
	.venv/bin/mypy

fast:
	$(PY) -m pytest -q -n 2 --dist worksteal --hypothesis-profile quick \
		-m "not (vllm or model or browser or slow or data or gpu or ray)"

check: lint types fast

# Heavy tests start engines of their own; one at a time keeps two cores and the memory free.
test: setup lint types
	$(PY) -m pytest -q -n 2 --dist worksteal -m "not (vllm or model)"
	$(PY) -m pytest -q -m "vllm or model"

# Heavy scripts load engines of their own, so they run one after the other.
bench: setup
	$(PY) -m benchmarks.startup --repeats 1 --save "short: startup"
	$(PY) -m benchmarks.overhead --requests 1000 10000 --save "short: overhead"
	$(PY) -m benchmarks.tokens --limit 20 --tasks arc_challenge truthfulqa winogrande \
		--save "short: tokens"
	$(PY) -m benchmarks.schedule --save "short: schedule"
	$(PY) -m benchmarks.scoring --limit 4 --save "short: scoring"
	$(PY) -m benchmarks.generation --short --save "short: generation"

# The site is build/docs/site; a broken link or anchor fails.
docs: setup
	$(PY) scripts/make_docs.py

clean:
	rm -rf .venv .evalkit .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
