# run: chat in a browser. test: lint, then every test, with what they need. lint: style, types and imports only.
# test FAST=1: only the tests that start no other process, in a minute or two.
# coverage: the share of lines and branches that the fast tests reach, and an error where it has fallen.
# load: measure how many testers Parley serves, in ten minutes; SESSIONS and SECONDS may be set; needs PostgreSQL.
# bench: measure how fast Parley is, in under ten minutes. PEERS=chainlit measures Chainlit too, BENCH=--write puts the
# figures into the documents.
# bench-store: measure recording and the readout at up to a million answers, in under ten minutes; needs PostgreSQL.
# pictures: renew the documents' pictures, or PICTURES="results events" only; needs WebKit, Xvfb and Firefox.
# lock: pin every package of pyproject.toml and its dependencies; LOCK=--upgrade takes the newest allowed versions.
# Packages are installed again only when their list changed.
# PYTHON and VENV may be set: make run PYTHON=/opt/python3.12/bin/python VENV=/var/tmp/parley

VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet

SESSIONS ?= 50
SECONDS ?= 20

.PHONY: run test coverage lint lock browser bench bench-store load pictures clean

run: $(VENV)/.run
	PYTHONPATH=. $(BIN)/streamlit run streamlit_app.py

# Most tests wait more than they work, so four run at once on two processors. Of the fast tests, which start no browser
# and no server, six run at once. Tests of how soon something happens run alone.
# An empty PYTHONDONTWRITEBYTECODE lets the workers keep compiled modules, which halves the time of their start.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
FAST_ONES = not browser and not slow and not alone
AT_ONCE = -n 4 --dist loadfile --no-loadscope-reorder
FAST_AT_ONCE = -n 6 --dist loadfile --no-loadscope-reorder

ifndef FAST
test: lint browser
	$(PYTEST) $(AT_ONCE) -m "not alone"
	$(PYTEST) -m alone
else
test: $(VENV)/.test
	$(PYTEST) $(FAST_AT_ONCE) -m "$(FAST_ONES)"
endif

coverage: $(VENV)/.test
	$(PYTEST) $(FAST_AT_ONCE) -m "$(FAST_ONES)" --cov --cov-report=term

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# One list for all systems and all versions of Python from 3.11 on, wheels only: nothing is compiled at the installation.
lock: | $(BIN)/python
	@$(PIP) uv
	@for list in "-o requirements.txt" "-o requirements-dev.txt --group dev -c requirements.txt"; do \
	  UV_PYTHON_DOWNLOADS=never UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml $$list \
	    --quiet --universal --python-version 3.11 --generate-hashes --only-binary :all: $(LOCK) >/dev/null || exit 1; \
	done

browser: $(VENV)/.test
	$(BIN)/python tests/support/chromium.py

pictures: browser
	$(BIN)/python -m tests.pictures $(PICTURES)

bench: browser
	@$(BIN)/python -m tests.bench $(addprefix --peer ,$(PEERS)) $(BENCH)

bench-store: $(VENV)/.test
	@$(BIN)/python -m tests.bench.store $(BENCH)

load: $(VENV)/.test
	$(BIN)/python -m tests.load --sessions $(SESSIONS) --seconds $(SECONDS)

clean:
	rm -rf $(VENV) .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/output

# Use the first of these that starts, is new enough and can make a virtual environment.
$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python python3.14; do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$python"; exec "$$python" -m venv "$(VENV)"; \
	  fi; \
	done; \
	echo "Parley needs Python 3.11 or newer with its venv module (on Debian: apt-get install python3-venv)." \
	     "None was found; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1

$(VENV)/.run: requirements.txt | $(BIN)/python
	@echo "Installing what Parley needs, once: about a minute"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: requirements.txt requirements-dev.txt | $(BIN)/python
	@echo "Installing what Parley and its tests need, once: about a minute"
	@$(PIP) -r requirements-dev.txt
	@touch $@
