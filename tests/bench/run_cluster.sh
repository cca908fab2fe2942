#!/usr/bin/env bash
# What the operator costs on a real cluster, against baselines in the same run. Starts the cluster of
# tests/cluster if it is not up, and leaves it as it found it. As root.
#
#   tests/bench/run_cluster.sh [latency|throughput|rate|memory]     default: all
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
program=$here/../../build/release/bin/cluster_bench
"$here/../cluster/up.sh" bench >&2
trap '"$here/../cluster/down.sh" bench' EXIT
"$here/../cluster/publish.sh" >/dev/null

measure() {
  case $1 in
    latency) "$program" latency 30 ;;
    throughput)
      "$program" throughput 500 5
      "$program" throughput 5000
      ;;
    rate) "$program" rate 600 ;;
    memory) "$program" memory 10000 ;;
    *)
      echo "run_cluster.sh: say latency, throughput, rate or memory" >&2
      exit 2
      ;;
  esac
}

printf 'load %s\n' "$(cut -d' ' -f1 /proc/loadavg)"
(($#)) || set -- latency rate throughput memory
for each in "$@"; do measure "$each"; done
