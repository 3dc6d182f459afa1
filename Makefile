# `make` lists the targets. Everything happens in .venv, made from requirements.lock.

SHELL := /bin/sh
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.ready
# More than two cores: many tests wait for processes and clocks. Each costs an import of all.
PYTEST_WORKERS ?= 3
JOBS ?= 2
DEMO_ARGS ?=
BENCH_ARGS ?=
MUTANTS_ARGS ?=
PYTEST_ARGS ?=
LOCK_ARGS ?=

# pip's settings from the environment may say where packages come from, but not
# where they go or which are taken; and nothing may shadow what .venv holds.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIRE_VIRTUALENV
unexport PIP_REQUIRE_HASHES PIP_REQUIREMENT PIP_CONSTRAINT PIP_EDITABLE PIP_NO_DEPS PIP_DRY_RUN
unexport PIP_NO_BINARY PIP_ONLY_BINARY PIP_IGNORE_INSTALLED PIP_FORCE_REINSTALL PIP_UPGRADE
unexport PIP_NO_BUILD_ISOLATION PIP_BUILD_CONSTRAINT PIP_PRE PIP_SRC PIP_CONFIG_SETTINGS
unexport PIP_PLATFORM PIP_PYTHON_VERSION PIP_IMPLEMENTATION PIP_ABI PIP_REPORT
unexport PYTHONPATH PYTHONHOME PYTHONOPTIMIZE PYTHONSAFEPATH VIRTUAL_ENV
# Without bytecode on disk each of the many processes compiles 460 modules anew, for 0.7 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(STAMP) ## agents audit a source tree together, and lose a peer half-way
	$(BIN)/mesh demo $(DEMO_ARGS)

.PHONY: test
test: $(STAMP) ## lint, and every test that is not slow
	@$(MAKE) --no-print-directory -j 2 tests-that-are-not-slow lint

.PHONY: tests-that-are-not-slow
tests-that-are-not-slow: $(STAMP)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) -m "not slow" $(PYTEST_ARGS)

.PHONY: check
check: lint ## lint, then every test, slow ones too
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) $(PYTEST_ARGS)

.PHONY: lint
lint: $(STAMP) ## style, types and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: $(STAMP) ## measure; compare figures of one machine only
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

.PHONY: mutants
mutants: $(STAMP) ## take the guards out one at a time: does a sweep notice each?
	$(BIN)/python -m simulations.mutants --jobs $(JOBS) $(MUTANTS_ARGS)

.PHONY: lock
lock: $(STAMP) ## pin what pyproject.toml asks for, with hashes; LOCK_ARGS=--upgrade for newer
	env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet \
		$(LOCK_ARGS) --generate-hashes --allow-unsafe --strip-extras --no-emit-options \
		--extra demo --extra telemetry --extra vectors --extra dev --output-file requirements.lock pyproject.toml

.PHONY: clean
clean: ## remove .venv and everything that was generated
	rm -rf .venv build dist *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache
	find mesh protocols simulations tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An interrupted run leaves no stamp, and the next one starts .venv anew.
$(STAMP): requirements.lock pyproject.toml .ci/venv
	@.ci/venv $(STAMP)
