# Everything runs in .venv/, which the first target to need it sets up.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo smoke test bench lint types format check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything the program needs
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh --browser

demo: setup ## collect, train, rank, select, retrain, evaluate and report, on Lift
	.venv/bin/outtakes demo

smoke: setup ## the same in miniature, to see that it works
	.venv/bin/outtakes demo --recipe smoke

# Every worker computes on one core; a file's tests share a worker, hence its fixtures, and the
# longest files come first (tests/conftest.py). Tests start many processes: the bytecode of what they
# import is kept, whatever the caller's settings, as compiling it takes longer than they do.
test: setup-tests ## run the tests
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses $(WORKERS) \
		--dist loadfile --no-loadscope-reorder --durations 10

bench: setup ## time everything beside its peers, into results/ and docs/performance.md
	.venv/bin/python -m benchmarks

lint: setup ## check style and formatting
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup ## check types
	.venv/bin/basedpyright

format: setup ## put the code in shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

check: lint types test ## lint, types and test
