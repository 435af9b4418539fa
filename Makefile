# Two commands for everybody: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test flower nvflare soak lint docs docs-test claims boards bench quickstart reference catalogue faithfulness rooms clean

demo: $(VENV)/.installed
	rm -rf results/demo
	$(BIN)/robustbench-fl sweep sweeps/quickstart.toml --out results/demo
	$(BIN)/robustbench-fl matrix results/demo

# What starts workers, kills them or takes times comes last, so that nothing long runs beside it.
ALONE := tests/sweep/runner tests/report/browser tests/cli/test_main_process.py tests/store/test_index.py \
  tests/data/test_shared.py tests/test_architecture.py tests/integrations/test_flower.py tests/integrations/test_nvflare.py
test: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile $(ALONE:%=--ignore=%)
	$(ONE_THREAD) $(BIN)/python -m pytest -rs -n 2 --dist loadfile $(ALONE)

# What is for other frameworks, in simulations of their own. They pin versions (Flower those of Ray and of protocol
# buffers), so each has an environment apart from that of the other tests, where these files are skipped.
flower nvflare: %: .venv-%/.installed
	$(ONE_THREAD) .venv-$@/bin/python -m pytest -rs tests/integrations/test_$@.py

# 2,000 and more mutations of every kind of file that is read back, with their outcomes counted; 500 random command
# lines; archives, pictures, packs and plug-ins of strangers. Kills and disk faults at random moments of sweeps of
# 200 cells, twenty times, and a Ray cluster that loses a node. Rules on a file of 4.4 GB.
soak: $(VENV)/.installed-soak
	ROBUSTBENCH_FL_SOAK=1 $(ONE_THREAD) $(BIN)/python -m pytest -s tests/hostile \
	  tests/integrations/test_mapped.py tests/engine/test_updates_in_a_file.py
	ROBUSTBENCH_FL_SOAK=1 $(ONE_THREAD) $(BIN)/python -m pytest -s -rs tests/sweep/runner/test_kills.py tests/sweep/runner/test_disk.py \
	  tests/sweep/runner/test_two_mains.py tests/sweep/runner/test_ray.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, warnings as errors, into build/site. Its leaderboards are made from results/claims.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Links, widths and both colour schemes of the built site, the latter in a browser where there is one.
docs-test: docs $(VENV)/.installed-test
	ROBUSTBENCH_FL_SITE=build/site $(BIN)/python -m pytest -rs tests/report/browser/test_site.py

bench: $(VENV)/.installed-bench
	$(ONE_THREAD) $(BIN)/python benchmarks/training.py
	$(ONE_THREAD) $(BIN)/python benchmarks/rules.py
	$(ONE_THREAD) $(BIN)/python benchmarks/attacks.py
	$(ONE_THREAD) $(BIN)/python benchmarks/parity.py
	$(ONE_THREAD) $(BIN)/python benchmarks/reconstruction.py
	$(ONE_THREAD) $(BIN)/python benchmarks/harness.py
	$(ONE_THREAD) $(BIN)/python benchmarks/store.py
	$(ONE_THREAD) $(BIN)/python benchmarks/inference.py

# The committed results: run anew, then packed.
quickstart: $(VENV)/.installed
	rm -rf results/quickstart
	$(BIN)/robustbench-fl sweep sweeps/quickstart.toml --out results/quickstart
	$(BIN)/robustbench-fl pack results/quickstart

# Half an hour on two cores.
reference: $(VENV)/.installed
	rm -rf results/reference-digits
	$(BIN)/robustbench-fl sweep sweeps/reference-digits.toml
	$(BIN)/robustbench-fl pack results/reference-digits
	$(BIN)/robustbench-fl figures results/reference-digits

# Claims of the committed results of quick start and suite, a file a rule.
claims: $(VENV)/.installed
	for folder in results/quickstart results/rbfl-1-smoke results/rbfl-1-cpu; do test -n "$$(find $$folder -maxdepth 2 -name cells.jsonl.gz)" || continue; $(BIN)/robustbench-fl claim $$folder || exit 1; done

# What is made from the committed results of the suite: claims, tables, figures and page of each finished block, the
# tables of README, docs/leaderboard.md, docs/blocks.md and docs/suite.md.
boards: claims
	for cells in results/rbfl-1-cpu/*/cells.jsonl.gz; do folder=$$(dirname $$cells); \
	  $(BIN)/robustbench-fl tables $$folder && $(BIN)/robustbench-fl report $$folder || exit 1; done
	$(BIN)/python docs/board_tables.py
	$(BIN)/python docs/further_tables.py
	$(BIN)/python docs/suite_tables.py

# The committed table of all methods.
catalogue: $(VENV)/.installed
	$(BIN)/robustbench-fl list --format md > docs/catalogue.md

# The committed page on what rules and attacks were compared with.
faithfulness: $(VENV)/.installed
	$(BIN)/python docs/faithfulness_page.py

# The table of rooms in docs/architecture.md.
rooms: $(VENV)/bin/python
	$(BIN)/python docs/rooms.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "robustbench-fl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

.venv-%/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --editable '.[$*]' pytest hypothesis
	@touch $@

$(VENV)/.installed-soak: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,ray]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-flower .venv-nvflare build dist *.egg-info results/demo
