# make demo: a prior and its gallery from a fresh clone. make test: lint and the tests (or each: make lint, make suite).
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Tests marked `slow` take a third of the time and rarely break. CI runs them: it sets CI=true, as `make test CI=true` does.
TESTS := $(if $(CI),,-m "not slow")

.PHONY: demo toolbox test lint suite oldest audit licences install install-dev clean

demo: $(VENV)/.installed
	$(RUN) train.py
	$(RUN) visualize.py
	@echo "The gallery: $$(ls -td outputs/visualize/*/index.html | head -1)"

# The live page on the newest prior, by default the demo's, which it makes if there is none.
toolbox: $(VENV)/.installed
	$(RUN) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[toolbox]'
	@ls outputs/train/*/prior.safetensors >/dev/null 2>&1 || $(RUN) train.py
	$(RUN) toolbox.py

test: lint suite

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

suite: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)
	@$(if $(CI),,echo "Tests marked slow were left out; make test CI=true runs them too.")

# The tests with the oldest version of each library that pyproject.toml allows, in an environment of their own.
oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --disable-pip-version-check --quiet uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct --editable '.[dev]'
	@touch .venv-oldest/.installed .venv-oldest/.installed-dev
	$(MAKE) suite VENV=.venv-oldest

# Known vulnerabilities of the installed packages, and their licences. The tools are installed for this only. The audit is
# strict, as it would else find nothing in packages that the database does not answer for, and call them sound.
audit: $(VENV)/.installed-dev
	$(RUN) -m pip install --disable-pip-version-check --quiet pip-audit
	$(RUN) -m pip list --disable-pip-version-check --format=freeze --exclude-editable > $(VENV)/audited.txt
	$(RUN) -m pip_audit --strict --no-deps --disable-pip --requirement $(VENV)/audited.txt

licences: $(VENV)/.installed-dev
	$(RUN) -m pip install --disable-pip-version-check --quiet pip-licenses
	$(VENV)/bin/pip-licenses --order=license

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "dgn needs Python 3.11 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(RUN) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-oldest *.egg-info .pytest_cache .ruff_cache .mypy_cache
