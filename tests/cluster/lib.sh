# shellcheck shell=bash
# What up.sh and down.sh both know: where everything is, and which processes are the cluster's.
# shellcheck disable=SC2034 # the names are for who sources this

# Everything that the cluster keeps. Short, since the paths of sockets are bounded.
root=${SANDBOXRUN_CLUSTER:-/var/lib/sandboxrun-cluster}
tools=${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/tools/bin
logs=$root/logs
pki=$root/pki
run=$root/run
kubeconfig=$root/kubeconfig

node_name=sandboxrun
# Devices of our own: the node's address may not be a loopback one. The API server listens on the
# first address of the services' range, on the bridge too, so that pods reach it without kube-proxy.
node_device=sbr-node
pod_device=sbr-pods
node_ip=10.89.0.1
api_ip=10.96.0.1
api_port=443
service_range=10.96.0.0/16
pod_range=10.88.0.0/16

# What kubelet and the bridge plugin change and down.sh puts back.
sysctls=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes net/ipv4/ip_forward)

say() { printf 'cluster: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# One up or down at a time.
lock() {
  exec 8>"/run/lock/$(basename "$root").lock"
  flock --timeout 300 8 || die "another up.sh or down.sh has been at work for five minutes"
}

# birth PID: the process's start time, which with its number names it for good.
birth() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # The 22nd field of proc(5)'s stat; the first two are cut off.
  read -r -a stat <<<"$stat"
  [[ ${stat[0]} != Z ]] && printf '%s\n' "${stat[19]}"
}

# is_running NAME: whether the program that up.sh started under this name still runs.
is_running() {
  local pid born
  read -r pid born 2>/dev/null <"$run/$1.pid" || return 1
  [[ -n $born && $(birth "$pid") == "$born" ]]
}

api_answers() { curl --silent --fail --max-time 2 --cacert "$pki/ca.crt" --cert "$pki/admin.crt" \
  --key "$pki/admin.key" "https://$api_ip:$api_port/readyz" >/dev/null 2>&1; }
