#!/usr/bin/env bash
# The operator's resident memory: idle, with 10,000 finished runs and their pods, at a relist.
#
#   tests/bench/run_operator_memory.sh [PROGRAM] [RUNS]     default: build/release/bin/operator 10000
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
exec python3 "$here/operator_memory.py" \
  "${1:-$here/../../build/release/bin/operator}" "${2:-10000}"
