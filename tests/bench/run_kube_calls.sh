#!/usr/bin/env bash
# What a call to an API server costs the operator, by each of its two HTTP clients.
#
#   tests/bench/run_kube_calls.sh [CALLS [THREADS]]     default: 4000 4
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../../build/release/bin/kube_calls_bench" "${1:-4000}" "${2:-4}"
