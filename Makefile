# Commands of the project. Only Python 3.11+ and a package index are assumed; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup check fix test tests demo recordings soak bench browser lock

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "engage-sync needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib src tests >/dev/null; true  # pip compiles on one core only
	@touch $(STAMP)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_layout.py

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m tests.generated_docs

test:
	@$(MAKE) --no-print-directory -j 2 setup browser
	@$(MAKE) --no-print-directory -j 2 check tests LEFT='--ignore tests/test_layout.py'

# LEFT is what `check` beside it does.
# One worker more than there are cores, up to eight: some tests wait for processes, clocks and disks. Polars has one
# thread in each of them, since they share the cores.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 8 ? n + 1 : 8 )))
# The tests' folders lie in memory where it has room for them: a disk makes a fifth of the tests' time.
tests: setup
	TMPDIR=$$(test "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 8000000 2>/dev/null && echo /dev/shm || echo "$${TMPDIR:-/tmp}") \
	POLARS_MAX_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(LEFT)

demo: setup
	$(BIN)/engage-sync demo

# What the commands of docs/guide print, anew: the same code gives the same files.
recordings: setup
	$(BIN)/python -m scripts.recordings

# Simulated days on both sandboxes while one call in twenty fails, for MINUTES; then longer runs of the state machines,
# in which people edit, records merge and vanish, calls fail, brakes hold, the process dies; then CYCLES of a daemon in
# which nothing changes, and KILLS of the leader of two daemons.
# Two arenas: glibc gives each of the stand-ins' threads its own otherwise, whose leftovers pass for growth.
MINUTES ?= 20
EXAMPLES ?= 40
CYCLES ?= 1000
KILLS ?= 50
soak: setup
	MALLOC_ARENA_MAX=2 $(BIN)/python -m tests.soak --minutes $(MINUTES)
	ENGAGE_SOAK=$(EXAMPLES) $(BIN)/pytest -n 2 tests/sync/test_machine.py tests/sync/test_safety_machine.py
	$(BIN)/python -m tests.soak --daemon-cycles $(CYCLES)
	ENGAGE_KILLS=$(KILLS) ENGAGE_AS_A_USER=1 $(BIN)/pytest -s tests/cli/test_failover.py

bench: setup
	$(BIN)/python -m bench

# The browser that the tests of the sandbox page need: installed where the user may, named in one line where not.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	{ echo "the tests need a Chromium: install it, e.g. 'apt-get install chromium' as root" >&2; exit 1; }

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group dev pyproject.toml --output-file requirements.lock
