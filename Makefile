# The same few words everywhere: `make demo` to see it work, `make test` and `make check` before a commit.

VENV := .venv
PYTHON := $(VENV)/bin/python
FIGMENT := $(VENV)/bin/figment
PIP := $(PYTHON) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: demo venv test check format golden gallery bench trust sbom docs clean

demo: $(VENV)/.core  ## install the core, then make, score and report a generator of handwritten digits
	$(FIGMENT) demo --out demo

venv: $(VENV)/.all  ## everything a developer needs

test: $(VENV)/.all  ## all tests
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses 2 --dist worksteal

check: $(VENV)/.all  ## style, types, direction of imports, freshness of the docs
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports
	$(PYTHON) docs/generate.py --check

format: $(VENV)/.all
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
	$(PYTHON) docs/generate.py

golden: $(VENV)/.all  ## store the golden numbers anew; a commit of its own that says why
	OMP_NUM_THREADS=1 $(PYTHON) -m tests.golden.test_golden

bench: $(VENV)/.all  ## comparisons with peers, side by side, as ratios
	$(PYTHON) benchmarks/run.py

trust: $(VENV)/.all  ## attacks on every promise, in their thousands; writes the table of docs/trust.md
	OMP_NUM_THREADS=1 $(PYTHON) trust/run.py

gallery: $(VENV)/.all  ## the pictures of the docs, each with the command that makes it
	$(PYTHON) -m recipes.gallery

sbom: $(VENV)/.all  ## what is installed of figment's packages, with versions and licences, as CycloneDX JSON
	mkdir -p build
	$(PYTHON) trust/_sbom.py > build/sbom.json

clean:
	rm -rf $(VENV) demo build dist *.egg-info

$(VENV)/bin/python:
	python3 -m venv $(VENV)

# torch first and exactly: other builds of it are gigabytes of GPU libraries that a laptop does not need.
$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	@touch $@

$(VENV)/.all: $(VENV)/.core
	$(PIP) --editable '.[track,hub,parquet,privacy,crawl,medical,cluster,serve,export,diffusers,dev]'
	@touch $@
