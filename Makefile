# Two commands: `make demo` runs a whole small study to its figures, `make test` proves the code. Both make .venv themselves.
# `make demo VERBOSE=1` shows all that Snakemake says instead of one bar.
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= config/demo.yaml
PROCESSES ?= 2

.PHONY: demo streamed test coverage test-cluster test-all kill-harness lint docs notebooks gpu-check clean

demo: .venv/installed
	@$(BIN)/python scripts/run_study.py --configfile config/demo.yaml $(if $(VERBOSE),--verbose)

# What fresh simulations teach (docs/fresh_simulations.md), from nothing to its tables and figures; stopped, it goes on.
STREAMED := --configfile config/streamed.yaml --cores $(PROCESSES)
streamed: .venv/installed
	$(BIN)/snakemake stream_files --until subfields $(STREAMED)
	$(BIN)/python -m benchmarks.fresh_shards --config config/streamed.yaml --dataset li_full --results results/streamed
	$(BIN)/snakemake stream_files $(STREAMED)
	$(BIN)/python -m benchmarks.streamed_rival --config config/streamed.yaml --results results/streamed
	$(BIN)/python -m benchmarks.streamed --config config/streamed.yaml --results results/streamed --output docs/results/streamed_levels
	$(BIN)/python -m benchmarks.streamed_figure --tables docs/results/streamed_levels

# A process for each core, at about 1 GB each; every file's tests share what they make.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -m "not slow and not gpu and not cluster"

# The same tests, slower, and at the end the share of each file's lines that they ran.
coverage: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -m "not slow and not gpu and not cluster" \
	    --cov=limelight --cov=scripts --cov-report=term:skip-covered

# A real one-node SLURM; needs root and Debian's slurm-wlm and munge.
test-cluster: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster

test-all: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# An hour: a study killed at random 60 times, also under SLURM (root), every file compared with an unbroken run's. Interrupted,
# it goes on after the last run that came to its end; delete $(KILLS) to begin anew.
KILLS ?= results/kill_harness
kill-harness: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.kill_harness --kills 40 --slurm-kills 20 --state $(KILLS) \
	    --output docs/results/kill_harness.csv

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy --cache-dir .mypy_cache

# The site of the documentation, into site/; warnings are errors.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The notebooks as .ipynb, to open in Jupyter; `python -m tools.make_notebooks` also runs them, for their pages in docs/.
notebooks: .venv/installed
	$(BIN)/python -m tools.make_notebooks --ipynb-only

# Tests, agreement with the CPU, and timings on a machine with a GPU: $(OUTPUT) gets tables and figures.
OUTPUT ?= docs/results/gpu
gpu-check: .venv/installed
	$(BIN)/python -m benchmarks.gpu --minutes 8 --output $(OUTPUT)

# The stamp is written last, so that an interrupted installation starts again.
.venv/installed: envs/constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "limelight needs Python 3.11 or newer; say which with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv .snakemake .mypy_cache site
