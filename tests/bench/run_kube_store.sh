#!/usr/bin/env bash
# What an object in the operator's cache costs, in bytes, and how fast watch events are read.
#
#   tests/bench/run_kube_store.sh [PROGRAM] [OBJECTS]     default: build/release/bin/kube_store_bench 10000
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
exec "${1:-$here/../../build/release/bin/kube_store_bench}" "${2:-10000}"
