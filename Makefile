# The two commands: make book, make test. Each sets up what it needs; run them in any order, as often as you like.
PYTHON ?= python3
PROFILE ?= laptop
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BIN := .venv/bin
READY := .venv/.ready
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
# A plain path in the environment: with a finder, a folder named dnastudy in the working directory would come first.
EDITABLE := --config-settings editable_mode=compat --editable
# Side by side; each process takes up to 4 GB.
PYTEST = $(BIN)/python -m pytest --numprocesses $(CORES) --maxprocesses 8
CPU_WHEELS := https://download.pytorch.org/whl/cpu

.PHONY: book test setup bench html archive notebooks lint clean help

book: $(READY)        ## the study at laptop size, executed and rendered (PROFILE=smoke|laptop|paper, CORES=n)
	@$(BIN)/python workflow/run_study.py --profile $(PROFILE) --cores $(CORES) $(ENGINE)

test: $(READY)        ## the whole test suite and nbval on every notebook
	@for name in chr19-chr22 repeats-hg38 regulation-hg38; do $(BIN)/dnastudy fetch $$name >/dev/null || exit 1; done
	@$(PYTEST) --dist worksteal
	@$(PYTEST) --dist loadfile --nbval-lax --nbval-cell-timeout=300 notebooks

setup: $(READY)       ## .venv with everything in it

bench: $(READY)       ## measurements beside what people would use instead, as ratios (about ten minutes)
	@$(BIN)/pip install -q --constraint constraints.txt sentencepiece bpeasy rustbpe
	@for name in ngram bpe training generation scoring; do $(BIN)/python benchmarks/$$name.py || exit 1; done

html: $(READY)        ## render the archived run, executing nothing
	@$(BIN)/python workflow/render_book.py --profile $(PROFILE) --from archive

archive: $(READY)     ## copy the finished run into book/archive, the only way anything gets there
	@$(BIN)/python workflow/archive_run.py --profile $(PROFILE)

notebooks: $(READY)   ## execute every notebook at smoke size in place: the outputs that nbval compares with
	@$(BIN)/python workflow/refresh_notebooks.py

lint: $(READY)        ## format and lint checks
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:                ## everything that was made; downloads in the user's cache stay
	rm -rf .venv results book/_build .snakemake

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

# A machine with an NVIDIA GPU takes torch's CUDA build from the package index; any other Linux machine takes the
# CPU build, a tenth of the size, from PyTorch's own index, and falls back to the package index where that is out of reach.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "dnastudy needs Python 3.11, 3.12 or 3.13; found $$($(PYTHON) --version). Give one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up .venv (about 2 GB on disk; a few minutes the first time)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	@if [ "$$(uname)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1; then \
	  $(BIN)/pip install -q --no-deps --timeout 10 --retries 0 --index-url $(CPU_WHEELS) torch==$(TORCH) 2>/dev/null \
	  || echo "PyTorch's own index is out of reach: taking torch from the package index"; fi
	@$(BIN)/pip install -q --constraint constraints.txt torch
	@if command -v uv >/dev/null 2>&1; \
	  then uv pip install -q --python $(BIN)/python --constraint constraints.txt $(EDITABLE) '.[study,test]'; \
	  else $(BIN)/pip install -q --constraint constraints.txt $(EDITABLE) '.[study,test]'; fi
	@touch $@
