# Everything here sets up what it needs, is quiet when nothing is left to do, and
# goes on where an interrupted run stopped.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
C_FILES := $(wildcard chaoskernel/bpf/*.c experiments/*.c)
DEMO := build/demo

.PHONY: demo test check lab packages format clean

demo: $(READY) lab
	@mkdir -p $(DEMO)
	@$(BIN)/chaoskernel lab run --rw $(DEMO) --timeout 600 -- \
		$(BIN)/chaos --no-version-check --no-log-file \
		run --journal-path $(DEMO)/journal.json experiments/mount-enomem.json
	@$(BIN)/chaoskernel summary $(DEMO)/journal.json

test: check lab
	@$(BIN)/pytest --verbose tests/e2e/test_lab.py
	@$(BIN)/chaoskernel lab run --timeout 2400 --env CHAOSKERNEL_IN_LAB=1 \
		--env CHAOSKERNEL_REQUIRE_LAB=$(CHAOSKERNEL_REQUIRE_LAB) -- \
		$(BIN)/pytest -p no:cacheprovider --verbose tests/functional tests/e2e --ignore tests/e2e/test_lab.py

check: $(READY)
	@mkdir -p build
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >build/imports.log || { cat build/imports.log; false; }
	@$(BIN)/pytest --quiet tests/unit

format: $(READY)
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet
	@$(BIN)/clang-format -i $(C_FILES)

lab: $(READY)
	@$(BIN)/chaoskernel lab build

packages:
	@tools/packages

$(READY): setup.cfg pyproject.toml packages.txt | packages
	@echo "setting up $(VENV)"
	@mkdir -p build
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check -qq install --editable '.[lab,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build
