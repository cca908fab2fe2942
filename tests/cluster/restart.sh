#!/usr/bin/env bash
# Kills a program of the cluster that up.sh started and starts it again as it was:
#   tests/cluster/restart.sh NAME [SECONDS]
# NAME is etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd or kubelet; SECONDS
# is how long it stays away (default 0). Returns when the API server answers again. As root.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

((EUID == 0)) || die "this needs root, as up.sh did"
name=${1:?which program?}
if [[ ${SANDBOXRUN_CLUSTER_GROUP:-} != own ]]; then
  SANDBOXRUN_CLUSTER_GROUP=own exec setsid --wait "$0" "$@"
fi
is_running "$name" || die "$name does not run; the programs are" "$run"/*.pid
read -r pid _ <"$run/$name.pid"
mapfile -d '' -t command <"/proc/$pid/cmdline"
mapfile -d '' -t environment <"/proc/$pid/environ"
kill -KILL "$pid"
while birth "$pid" >/dev/null; do sleep 0.02; done
sleep "${2:-0}"
env --ignore-environment "${environment[@]}" nohup "${command[@]}" >>"$logs/$name.log" 2>&1 </dev/null &
pid=$!
printf '%s %s\n' "$pid" "$(birth "$pid")" >"$run/$name.pid"
for _ in {1..300}; do
  ! api_answers || exit 0
  is_running "$name" || die "$name ended at once; see $logs/$name.log"
  sleep 0.1
done
die "the API server does not answer 30 s after $name was restarted"
