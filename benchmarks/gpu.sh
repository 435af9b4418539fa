#!/usr/bin/env bash
# All that is to be known of a GPU, in eight minutes at most: benchmarks/gpu.sh [OUTPUT FOLDER]
# Needs only this project's own dependencies. What it prints and measures stays in the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/gpu}
python=${PYTHON:-python}
mkdir -p "$out"
{
  nvidia-smi || echo "nvidia-smi is not there"
  "$python" -m robustbench_fl env || true
  timeout 90 "$python" -m pytest -q -p no:cacheprovider -m gpu tests/engine/test_gpu.py || echo "tests marked gpu: FAILED or none ran"
  timeout 400 "$python" benchmarks/gpu.py --device cuda --seconds 360 --out "$out/gpu.json"
} 2>&1 | tee "$out/output.txt"
