# Two commands do all set-up: `make spec` gates the shipped specs, `make test` runs the project's own tests.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.PHONY: spec test check lint types setup lock clean nightly prove rates

# Two specs at a time, as much of each runs on one core; times have the machine to themselves even so.
spec: setup ## compress, measure and judge every spec of the ci tier
	$(PYTEST) -m spec specs -n 2 --weighin-report report

# The whole grid of latency verdicts: hours, on a machine that does nothing else. Whoever stops it goes on where it was,
# and what is complete is shown again until the code or the machine is another.
LATENCY := $(BIN)/python benchmarks/latency_gate.py --json rates/latency.json

# The grid is run even where a spec is red, unless somebody has interrupted pytest (2).
nightly: setup ## the long specs too, then how often the latency verdicts are wrong
	$(PYTEST) -m spec specs --tier nightly --weighin-report report; specs=$$?; \
	  test $$specs -ne 2 || exit 2; \
	  $(LATENCY) && exit $$specs

rates: setup ## how often all the verdicts are wrong: hours, too
	mkdir -p rates
	$(BIN)/python benchmarks/accuracy_gate.py --json rates/accuracy.json --resume
	$(LATENCY)

# A sample, so that it takes about a minute; SEED draws another.
SEED ?= 0
prove: setup ## put faults into what the specs gate: whatever a spec claims to catch has to be caught
	$(BIN)/python -m harness prove --sample 8 --seed $(SEED)

# One thread a process: sums are then taken in one order, and the two processes have a core each. In the order of the
# files, so that those of the plugin, which run whole suites, do not come last.
test: setup ## the project's own tests
	OMP_NUM_THREADS=1 $(PYTEST) tests -n 2 --dist loadfile --no-loadscope-reorder

check: lint types test ## what CI runs beside the specs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

setup: $(READY) ## the environment, and the data that no package of it carries
	@$(BIN)/python -m harness.data.mnist || echo "MNIST is absent: the specs that need it will say so"

$(READY): $(LOCKED) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The lock pins everything that is installed, so nothing is left for pip to resolve. Made from nothing whenever the lock
# changes: pip leaves what a lock no longer names, and what works by such a leftover fails on the next fresh clone.
$(LOCKED): requirements/lock.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/lock.txt
	touch $@

lock: ## resolve pyproject.toml anew and pin the result
	rm -rf $(VENV).lock
	$(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/pip install --quiet -r requirements/lock.in
	$(VENV).lock/bin/pip install --quiet --no-deps -r requirements/no-deps.in
	{ echo "# Made by 'make lock' from lock.in and no-deps.in; install with --no-deps."; \
	  $(VENV).lock/bin/pip freeze --all --exclude pip --exclude-editable | grep -v "^weighin"; } > requirements/lock.txt
	rm -rf $(VENV).lock

clean:
	rm -rf $(VENV) report dist
