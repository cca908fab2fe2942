#!/usr/bin/env bash
# Ends the cluster that up.sh started and takes away all that it made: processes (by their numbers),
# mounts, network devices, cgroups, files, changed kernel settings.
#   tests/cluster/down.sh [OWNER]
# With OWNER only a cluster that `up.sh OWNER` started: tests leave a person's cluster alone.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

stop_seconds=10

# end_all PID...: SIGTERM, and SIGKILL for who is still there after a while.
end_all() {
  local pid end=$((SECONDS + stop_seconds))
  (($#)) || return 0
  kill "$@" 2>/dev/null || true
  for pid in "$@"; do
    while birth "$pid" >/dev/null && ((SECONDS < end)); do sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null || true
  done
}

# end_program NAME...: those that up.sh started.
end_programs() {
  local name pid pids=()
  for name in "$@"; do
    if is_running "$name"; then
      read -r pid _ <"$run/$name.pid"
      pids+=("$pid")
    fi
  done
  end_all "${pids[@]}"
}

# The shims of our containerd carry its socket's path; they have left its process group.
end_shims() {
  local folder arguments pids=()
  for folder in /proc/[0-9]*; do
    [[ $(readlink "$folder/exe") == */containerd-shim-runc-v2 ]] || continue
    mapfile -d '' -t arguments <"$folder/cmdline" || continue
    if [[ " ${arguments[*]} " == *" $root/containerd.sock "* ]]; then
      pids+=("${folder#/proc/}")
    fi
  done
  end_all "${pids[@]}"
}

# Only pods of our kubelet are below kubepods: up.sh refuses a machine that has another one's.
end_cgroups() {
  local top folder pids
  for top in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
    # /sys/fs/cgroup/cpu and the like may be links to the same hierarchy.
    [[ -d $top ]] || continue
    mapfile -t pids < <(find "$top" -name cgroup.procs -exec cat {} + | sort --unique)
    if ((${#pids[@]})); then
      kill -KILL "${pids[@]}" 2>/dev/null || true
    fi
    while read -r folder; do
      for _ in {1..100}; do
        rmdir "$folder" 2>/dev/null && break
        [[ -d $folder ]] || break
        sleep 0.05
      done
    done < <(find "$top" -depth -type d)
    [[ ! -d $top ]] || say "$top could not be removed"
  done
}

unmount_all() {
  local point
  # The last mount first: one may lie on another.
  while read -r point; do
    umount --lazy "$point" || say "$point could not be unmounted"
  done < <(awk '{print $5}' /proc/self/mountinfo | grep "^$root/" | tac)
}

remove_devices() {
  local device
  for device in "$node_device" "$pod_device"; do
    [[ ! -e /sys/class/net/$device ]] || ip link delete "$device"
  done
}

restore_sysctls() {
  local name
  for name in "${sysctls[@]}"; do
    [[ ! -f $run/sysctls/${name//\//.} ]] || cat "$run/sysctls/${name//\//.}" >"/proc/sys/$name"
  done
}

# The few places outside of $root that kubelet, shims and the CNI library insist on.
remove_strays() {
  local link
  [[ ! -e $run/made-run-containerd ]] || rm -rf /run/containerd
  [[ ! -e $run/made-var-lib-kubelet ]] || rm -rf --one-file-system /var/lib/kubelet
  for link in /var/log/containers/*.log; do
    if [[ $(readlink "$link") == "$root"/* ]]; then rm "$link"; fi
  done
  rmdir /var/log/containers 2>/dev/null || true
  rm -f /var/lib/cni/results/sandboxrun-*
  rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null || true
}

((EUID == 0)) || die "this needs root, as up.sh did"
lock
if [[ ! -d $root ]]; then
  say "there is no cluster"
  exit 0
fi
if [[ -n ${1:-} && $(cat "$root/owner" 2>/dev/null) != "$1" ]]; then
  say "left up: $1 did not start it"
  exit 0
fi
end_programs kubelet kube-scheduler kube-controller-manager kube-apiserver
end_shims
end_cgroups
end_programs containerd etcd registry
unmount_all
remove_devices
restore_sysctls
remove_strays
rm -rf --one-file-system "$root"
say "down"
