# Everything runs in a virtual environment of its own, made on first use. PYTHON chooses the interpreter (>= 3.11).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where train-lite writes.
OUT ?= .lite-weights
# What `make image` builds, with which program, and where the code is that it was built from.
IMAGE ?= moderation-service
DOCKER ?= docker
SOURCE ?= unknown

.DEFAULT_GOAL := help
.PHONY: help serve test test-slow test-faults test-fuzz test-all test-vllm test-dify test-litellm test-open-webui test-helm test-deploy test-image test-training test-data test-store test-rewards test-ray test-ray-serve test-clients lint bench bench-gpu image dify-package clean train-lite

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

serve: $(VENV)/.installed ## set up and start the service on 127.0.0.1:8787
	@exec $(BIN)/moderation-service serve $(ARGS)

# A whole file in one process: its servers start once.
TWO := -n 2 --dist loadfile --max-worker-restart 1

# What is compiled of the tests is kept, whatever an image says: otherwise each process of each run compiles it all.
test test-slow: export PYTHONDONTWRITEBYTECODE =

# In three: a good part of the time is spent waiting for servers to start and end. Schemathesis, where it is installed,
# would be loaded by all of them for the fuzz suite's sake.
test: $(VENV)/.installed-dev ## set up and run the tests (ARGS="-k name" for some of them, ARGS=-n0 in one process)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 1 -p no:schemathesis $(ARGS)

test-slow: $(VENV)/.installed-dev ## commands and services as their users start them, and clients that take seconds (2 minutes)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 1 -m "slow and not store and not vllm" $(ARGS)

test-vllm: $(VENV)/.installed-dev ## tests against real vLLM (CPU) and llama.cpp servers, which it installs (2.5 GB)
	@PYTHON=$(BIN)/python tests/vllm/run.sh $(ARGS)

test-data: $(VENV)/.installed-dev ## tests of data sets that need pyarrow, which it installs (170 MB), and 200 random kills
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,data]'
	@$(BIN)/python -m pytest tests/data -m data $(ARGS)
	@KILLS=100 $(BIN)/python -m pytest tests/data/test_annotate.py -k killed

test-store: $(VENV)/.installed-dev ## tests of the database of records on a real PostgreSQL, of limits and the cluster memory on a real Redis, with kills and outages (3 minutes)
	@$(BIN)/python -m pytest $(TWO) tests/store tests/cluster -m "store or not store" $(ARGS)
	@$(BIN)/python -m pytest tests/web tests/commands tests/docs -m store $(ARGS)

test-litellm: $(VENV)/.installed-dev ## tests with the real LiteLLM proxy, which it installs (600 MB)
	@PYTHON=$(BIN)/python tests/litellm/run.sh $(ARGS)

test-clients: $(VENV)/.installed-dev ## tests with real clients and gateways, which it installs (FAMILY="gateways ..." for some of them)
	@PYTHON=$(BIN)/python tests/clients/run.sh $(FAMILY)

test-rewards: ## tests in the real TRL, verl and OpenRLHF, which it installs (2 GB)
	@PYTHON=$(PYTHON) tests/rewards/run.sh $(ARGS)

test-ray: ## tests on a real Ray, which it installs (700 MB)
	@PYTHON=$(PYTHON) tests/ray/run.sh $(ARGS)

test-ray-serve: ## tests behind a real Ray Serve LLM on CPU, which it installs (2.5 GB, 6 GB of memory)
	@PYTHON=$(PYTHON) tests/ray_serve/run.sh $(ARGS)

test-helm: $(VENV)/bin/python ## tests of the chart with real Helm, which it installs (700 MB)
	@PYTHON=$(BIN)/python tests/helm/run.sh $(ARGS)

test-faults: $(VENV)/.installed-dev ## ten thousand requests while the guard or the chat model goes wrong (2 to 6 minutes)
	@$(BIN)/python -m pytest -m faults $(ARGS)

test-fuzz: $(VENV)/.installed-dev ## fifty thousand bodies over all doors, and the OpenAPI document's (10 minutes)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,fuzz,otel]'
	@$(BIN)/python -m pytest $(TWO) -m fuzz $(ARGS)

test-all: test test-slow test-faults test-fuzz test-dify test-vllm test-litellm test-open-webui test-helm test-deploy test-image test-training test-data test-store test-rewards test-ray test-ray-serve test-clients ## every suite there is (hours, 10 GB)
	@PYTHON=$(BIN)/python tests/openai/run.sh
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,browser]'
	@$(BIN)/python -m pytest -m browser

test-training: $(VENV)/bin/python ## rebuild the embedded engine's heads and compare its encoder with its reference (700 MB)
	@test -x .venv-training/bin/python || $(BIN)/python -m venv .venv-training
	@.venv-training/bin/python -m pip install --quiet --disable-pip-version-check -r training/requirements.txt -e '.[dev]'
	@.venv-training/bin/python -m pytest -m training $(ARGS)

train-lite: $(VENV)/bin/python ## rebuild the embedded engine's weights from prepared data, DATA=folder, into OUT (half an hour, 700 MB)
	@test -n "$(DATA)" || { echo "DATA=folder is missing: training/README.md says what must be in it" >&2; exit 1; }
	@test -x .venv-training/bin/python || $(BIN)/python -m venv .venv-training
	@.venv-training/bin/python -m pip install --quiet --disable-pip-version-check -r training/requirements.txt -e .
	@.venv-training/bin/python -m training build --data "$(DATA)" --out "$(OUT)"

test-deploy: $(VENV)/bin/python ## tests of image, compose files, units, alerts, dashboard and traces (promtool, 300 MB)
	@PYTHON=$(BIN)/python tests/deploy/run.sh $(ARGS)

test-image: $(VENV)/.installed-dev ## build both images with buildah and run containers of them (root on Debian, 2 GB; otherwise skipped)
	@PYTHON=$(BIN)/python tests/image/run.sh $(ARGS)

lint: $(VENV)/.installed-dev ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev ## the benchmarks behind docs/performance.md
	$(BIN)/python benchmarks/bench_moderate.py
	$(BIN)/python benchmarks/bench_lite.py
	$(BIN)/python benchmarks/bench_gateway.py
	$(BIN)/python benchmarks/bench_stream.py
	$(BIN)/python benchmarks/bench_siege.py
	$(BIN)/python benchmarks/bench_store.py
	$(BIN)/python benchmarks/bench_people.py

bench-gpu: $(VENV)/.installed ## verdicts per second of this machine's GPU (or of ARGS="--upstream URL"), into bench-results
	@$(BIN)/moderation-service bench -o bench-results $(ARGS)

image: ## build the container image; its labels say version, commit, time and SOURCE (IMAGE=name:tag, DOCKER=podman)
	$(DOCKER) build --file manifests/docker/Dockerfile --tag $(IMAGE) \
	  --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' moderation_service/__init__.py)" \
	  --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
	  --build-arg CREATED="$$(date -u +%Y-%m-%dT%H:%M:%SZ)" --build-arg SOURCE="$(SOURCE)" .

dify-package: $(VENV)/.installed ## build dist/moderation_guard.difypkg; KEY=name.private.pem signs it
	@mkdir -p dist
ifdef KEY
	@$(BIN)/python tools/dify/publisher.py --check
endif
	@$(BIN)/python tools/dify/difypkg.py validate dify_plugin --marketplace
	@$(BIN)/python tools/dify/difypkg.py pack dify_plugin dist/moderation_guard.difypkg
ifdef KEY
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'cryptography>=42'
	@$(BIN)/python tools/dify/difypkg.py sign dist/moderation_guard.difypkg $(KEY) dist/moderation_guard.signed.difypkg
endif

test-dify: $(VENV)/.installed-dev ## set up and run the tests of the Dify plugin and apps (Python 3.12 or 3.13, 750 MB)
	@$(PYTHON) tools/dify/prepare_venv.py
	@$(BIN)/python -m pytest $(TWO) -m dify $(ARGS)

test-open-webui: $(VENV)/bin/python ## tests that drive a real Open WebUI, which they install (Python 3.11 or 3.12, 3 GB)
	@PYTHON=$(BIN)/python tests/openwebui/run.sh $(ARGS)

clean: ## remove the virtual environments and caches
	rm -rf .venv .venv-* .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3.x make ..." >&2; exit 1; }
	@echo "Making $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing moderation-service ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[console]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	@echo "Installing moderation-service with what its tests need ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed
