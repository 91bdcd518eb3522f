# Every target works on a fresh machine with make and Python >= 3.11: what it needs it sets up first.
# GNU make 3.81 (macOS) runs it.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.lock
STAMP := $(VENV)/.aliquot-setup
DEMO_OUT := demo-out
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile
PIP_TOOLS := pip-tools==7.6.2
CHECKOV := checkov==3.3.30
ATHERIS := atheris==3.0.0

# Tests start some thousand processes: the first of them compiles a module, and no other. A file is one worker's,
# so that the stack that its tests share is rehearsed once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv with everything that developing needs

# Done again only when the lock or pyproject.toml changes. PYTHON=... chooses the interpreter.
$(STAMP): $(LOCK) pyproject.toml
	@set -e; \
	can() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	if can $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    if can "$$python"; then \
	        echo "making $(VENV) with $$($$python --version)"; \
	        exec "$$python" -m venv --clear $(VENV); \
	    fi; \
	done; \
	found=$(or $(PYTHON),python3); \
	echo "Aliquot needs Python 3.11 or newer; $$found here is: $$($$found --version 2>&1 || true)" >&2; \
	echo "Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; \
	exit 1
	@echo "installing what $(LOCK) lists"
	@$(PIP) install --quiet --require-hashes -r $(LOCK)
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test: setup ## run the tests
	$(PYTEST)

test-long: setup ## run the further cases that make test leaves out, minutes
	$(PYTEST) -m long

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for app in functions/*/app.py; do echo "mypy $$app"; $(BIN)/mypy "$$app" || exit 1; done
	$(BIN)/lint-imports

check: lint ## ruff, mypy --strict, import-linter, then the tests
	$(PYTEST)

demo: setup ## explain 2,000 reactions with 60 templates and show the result
	@rm -rf $(DEMO_OUT)
	$(BIN)/aliquot run crossref examples/crossref/reactions.rsmi --templates examples/crossref/templates.csv --out $(DEMO_OUT)
	@$(BIN)/python examples/crossref/show.py $(DEMO_OUT)

# A measurement with ARGS of its own is printed and leaves the committed page alone.
bench-cloud: setup ## count a stack's requests on the rehearsal, time the worker's import (ARGS="--only imports")
	$(BIN)/python -m benchmarks.cloud $(or $(ARGS),--write)

bench-crossref: setup ## measure the main job on real data
	$(BIN)/python benchmarks/crossref.py

# AiZynthFinder wants an older RDKit and NumPy: a venv of its own, and the benchmark says where it is not there.
bench-retro: setup ## retrosynthesis on real data, beside a plain program and AiZynthFinder (ARGS="--only recovery")
	@build/aizynth-venv/bin/python -c 'import aizynthfinder' 2>/dev/null || { $(BIN)/python -m venv --clear build/aizynth-venv && \
	    build/aizynth-venv/bin/python -m pip --disable-pip-version-check install --quiet 'aizynthfinder>=4.4' 'pyarrow<19' \
	        || echo "AiZynthFinder does not install here" >&2; }
	nice -n 10 $(BIN)/python -m benchmarks.retro $(or $(ARGS),--write)

# Peers are installed one by one, apart from the lock; the benchmark names the one that is not there.
bench-engine: setup ## the same work on Aliquot and on its peers, hours (ONLY=a,c SCALE=0.1 TURNS=1 for less)
	@test -x build/bench-venv/bin/python || { $(BIN)/python -m venv build/bench-venv && \
	    $(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	        > "$$(build/bench-venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/aliquot.pth"; }
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' \
	    | while read -r peer; do build/bench-venv/bin/python -m pip --disable-pip-version-check install --quiet "$$peer" \
	        || echo "$$peer does not install here" >&2; done
	$(BIN)/python -m benchmarks.engine $(if $(ONLY),--only $(ONLY)) $(if $(SCALE),--scale $(SCALE)) $(if $(TURNS),--turns $(TURNS))

chaos: setup ## the fault campaign: 500 runs under random faults (SEED=..., RUNS="--local 50" for fewer)
	nice -n 10 $(BIN)/python -m benchmarks.chaos $(if $(SEED),--seed $(SEED)) $(RUNS)

# atheris has wheels for Linux only. Its venv sees what .venv holds, the project among it.
fuzz: setup ## hostile input under atheris, 60 s a target (SECONDS=..., ONLY="codec worker"; Linux)
	@test "$$(uname -s)" = Linux || { echo "make fuzz needs Linux: there is no atheris for $$(uname -s)" >&2; exit 1; }
	@build/fuzz-venv/bin/python -c 'import atheris, aliquot' 2>/dev/null || { $(BIN)/python -m venv --clear build/fuzz-venv && \
	    build/fuzz-venv/bin/python -m pip --disable-pip-version-check install --quiet "$(ATHERIS)" && \
	    $(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	        > "$$(build/fuzz-venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/aliquot.pth"; }
	nice -n 10 build/fuzz-venv/bin/python -m benchmarks.fuzz --seconds $(or $(SECONDS),60) $(if $(ONLY),--only $(ONLY))

bench-balance: setup ## 100 workers on a simulated stack against greedy scheduling (ARGS="--seeds 1 --records 4000")
	$(BIN)/python -m benchmarks.balance $(or $(ARGS),--write)

# Peers are installed one by one, apart from the lock; the benchmark names the one that is not there.
bench-screen: setup ## 5 million fingerprints searched beside FPSim2 and chemfp (ARGS="--fingerprints 300000 --turns 2")
	@test -x build/screen-venv/bin/python || { $(BIN)/python -m venv build/screen-venv && \
	    $(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	        > "$$(build/screen-venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/aliquot.pth"; }
	@for peer in FPSim2 chemfp; do build/screen-venv/bin/python -m pip --disable-pip-version-check install --quiet "$$peer" \
	    || echo "$$peer does not install here" >&2; done
	build/screen-venv/bin/python -m benchmarks.screen $(or $(ARGS),--write)

bench-plan: setup ## 100 plans against what was measured, some minutes (ARGS="--here 2 --simulated 8")
	$(BIN)/python -m benchmarks.plans $(or $(ARGS),--write)

bench-references: setup ## what hosts that map one reference have in memory, by PSS (Linux; ARGS="--only mapped")
	$(BIN)/python -m benchmarks.references $(or $(ARGS),--write)

bench-codec: setup ## rows' values beside pickle, JSON, Arrow and SMILES, some minutes (ARGS="--only molecules --turns 3")
	$(BIN)/python -m benchmarks.codec $(or $(ARGS),--write)

bench-programs: setup ## what a record costs in a program of another language, beside a Python function
	$(BIN)/python -m benchmarks.programs $(or $(ARGS),--write)

bench-waiting: setup ## 10,000 requests that wait, in coroutines, threads and processes (ARGS="--requests 1000 --turns 1")
	$(BIN)/python -m benchmarks.waiting $(or $(ARGS),--write)

bench-sql: setup ## a join of 10 million rows beside DuckDB alone and pandas (ARGS="--rows 1000000 --turns 1")
	nice -n 10 $(BIN)/python -m benchmarks.sql $(or $(ARGS),--write)

bench-growth: setup ## what 10^4 to 10^9 records take on a stack, by the plan's model, checked at the small end
	$(BIN)/python -m benchmarks.plans.growth --write

verify-kernel: setup ## hold the kernel against the naive loop: ROWS=5000 of both files take hours
	$(BIN)/python benchmarks/verify_kernel.py --rows $(or $(ROWS),100)

layers: setup ## build the Lambda layers for both processors and print what each function weighs
	$(BIN)/python scripts/layers.py

lint-stack: setup ## hold the templates against cfn-lint and checkov (installed into build/lint-venv)
	test -x build/lint-venv/bin/checkov || { python3.11 -m venv build/lint-venv && \
	    build/lint-venv/bin/python -m pip --disable-pip-version-check install --quiet "$(CHECKOV)"; }
	$(BIN)/cfn-lint template.yaml examples/events/*.yaml
	build/lint-venv/bin/checkov --config-file .checkov.yaml

sam-local: setup ## run every function with its event, and a small run, in SAM's containers (needs Docker)
	$(BIN)/python scripts/sam_local.py $(if $(IMAGE),--image $(IMAGE))

release-check: setup ## build sdist and wheel, install each set of extras, type what users type first (needs an index)
	$(BIN)/python scripts/release.py

docs: setup ## build the pages as a site into build/site, strictly
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/docs.py

sample: setup ## write the sample in examples/crossref again
	$(BIN)/python examples/crossref/make_sample.py

# The lowest Python decides, so that every pin has a release for it; the hashes are those of all files of
# a release, so that one lock serves every platform. `make lock UPGRADE=--upgrade` takes newer versions.
lock: ## pin the dependencies of pyproject.toml again (needs python3.11)
	python3.11 -m venv --clear build/lock
	build/lock/bin/python -m pip --disable-pip-version-check install --quiet "$(PIP_TOOLS)"
	cp $(LOCK) build/lock/pins.txt
	build/lock/bin/python -m piptools compile $(UPGRADE) --quiet --no-config --extra chem --extra rehearsal --extra sql --extra notebook --extra examples --extra docs --extra dev \
	    --generate-hashes --strip-extras --no-header --no-emit-options --no-emit-index-url \
	    --no-emit-trusted-host --no-emit-find-links --output-file build/lock/pins.txt pyproject.toml
	{ sed -n '/^#/!q;p' $(LOCK); sed '/^#/d' build/lock/pins.txt; } > build/lock/lock.txt
	mv build/lock/lock.txt $(LOCK)

clean: ## remove everything that make has made
	rm -rf $(VENV) build dist $(DEMO_OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
