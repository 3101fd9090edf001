#!/usr/bin/env bash
# Serve a model with real vLLM on CPU for tests.
#   usage: serve_vllm_cpu.sh MODEL PORT [extra vllm arguments...]
#   e.g.:  VENV=/path/to/venv ./serve_vllm_cpu.sh model 8101
#          VENV=/path/to/venv ./serve_vllm_cpu.sh model 8101 --api-key secret
# VENV         virtual environment made by install_vllm_cpu.sh (default: `vllm` from PATH)
# SERVED_NAME  model name in the API (default: qwen3guard)
# MAX_LEN      --max-model-len (default: 512)
# The script replaces itself with the server: its pid is the API server's pid. Send SIGTERM to that pid only.
# The port opens when the model is ready, after about 20 to 45 s; wait for `GET /health` to answer 200.
set -euo pipefail
model=${1:?usage: serve_vllm_cpu.sh MODEL PORT [vllm arguments...]}
port=${2:?usage: serve_vllm_cpu.sh MODEL PORT [vllm arguments...]}
shift 2

export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}                 # the model is a local directory
export VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} # GiB; unset, vLLM takes most of the free memory
export TORCHDYNAMO_DISABLE=${TORCHDYNAMO_DISABLE:-1}       # else the first logprobs request compiles for up to 20 s

exec "${VENV:+$VENV/bin/}vllm" serve "$model" \
  --host 127.0.0.1 --port "$port" \
  --served-model-name "${SERVED_NAME:-qwen3guard}" \
  --max-model-len "${MAX_LEN:-512}" \
  --dtype bfloat16 --enforce-eager "$@"
