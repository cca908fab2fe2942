#!/usr/bin/env bash
# Starts a real Kubernetes on this machine, as root: etcd, API server, controller manager, scheduler,
# one node (containerd, runc, kubelet) and a registry, all built by tests/tools/build.sh.
#   tests/cluster/up.sh [OWNER]
# OWNER is remembered for down.sh. A cluster that already runs is left as it is. Everything is under
# $SANDBOXRUN_CLUSTER (default /var/lib/sandboxrun-cluster): kubeconfig, registry (its address),
# logs/, data. Prints how to use it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
programs=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet registry)
start_seconds=90

# --- certificates --------------------------------------------------------------------------------

# issue NAME SUBJECT [SAN]: a key and a certificate of the cluster's authority.
issue() {
  local usage=clientAuth
  [[ -z ${3:-} ]] || usage=serverAuth,clientAuth
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj "$2" \
    -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -days 30 \
    -extfile <(printf 'extendedKeyUsage=%s\n%s' "$usage" "${3:+subjectAltName=$3}") \
    -out "$pki/$1.crt" 2>/dev/null
  rm "$pki/$1.csr"
}

make_certificates() {
  openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
    -subj /CN=sandboxrun-cluster -addext keyUsage=critical,keyCertSign,digitalSignature \
    -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
  issue apiserver /CN=kube-apiserver \
    "IP:$api_ip,IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  issue kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  issue admin /O=system:masters/CN=admin
  issue kube-controller-manager /CN=system:kube-controller-manager
  issue kube-scheduler /CN=system:kube-scheduler
  issue kubelet "/O=system:nodes/CN=system:node:$node_name"
  issue kubelet-server "/CN=$node_name" "IP:$node_ip,DNS:$node_name"
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/service-account.key" \
    2>/dev/null
  openssl pkey -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub"
}

# write_kubeconfig NAME FILE: for the holder of certificate NAME.
write_kubeconfig() {
  cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: sandboxrun-cluster
clusters:
- name: sandboxrun-cluster
  cluster:
    server: https://$api_ip:$api_port
    certificate-authority-data: $(base64 --wrap=0 "$pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 --wrap=0 "$pki/$1.crt")
    client-key-data: $(base64 --wrap=0 "$pki/$1.key")
contexts:
- name: sandboxrun-cluster
  context: {cluster: sandboxrun-cluster, user: $1}
YAML
}

# fill FILE: a template of this folder with the names in it, like @root@, replaced.
fill() {
  sed -e "s|@root@|$root|g" -e "s|@tools@|$tools|g" -e "s|@node_ip@|$node_ip|g" \
    -e "s|@pod_range@|$pod_range|g" -e "s|@pod_device@|$pod_device|g" "$here/$1"
}

# --- the sandbox image ---------------------------------------------------------------------------

# blob FOLDER FILE: moves a file into an OCI layout; gives its descriptor's digest and size.
blob() {
  local sum
  sum=$(sha256sum "$2" | cut -d' ' -f1)
  printf '"digest":"sha256:%s","size":%s' "$sum" "$(stat --format=%s "$2")"
  mv "$2" "$1/blobs/sha256/$sum"
}

make_pause_image() {
  local work layout layer config manifest diff
  local type=application/vnd.oci.image
  work=$(mktemp -d)
  layout=$work/layout
  mkdir -p "$layout/blobs/sha256" "$work/rootfs"
  gcc -static -Os -s -Wall -Werror -o "$work/rootfs/pause" "$here/pause.c"
  tar --create --file "$work/layer" --directory "$work/rootfs" --owner=0 --group=0 --mtime=@0 pause
  diff=$(sha256sum "$work/layer" | cut -d' ' -f1)
  layer=$(blob "$layout" "$work/layer")
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/pause"],"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$diff" >"$work/config"
  config=$(blob "$layout" "$work/config")
  printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json",%s},"layers":[{"mediaType":"%s.layer.v1.tar",%s}]}' \
    $type $type "$config" $type "$layer" >"$work/manifest"
  manifest=$(blob "$layout" "$work/manifest")
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json",%s,"annotations":{"io.containerd.image.name":"sandboxrun.dev/pause:1"}}]}' \
    $type "$manifest" >"$layout/index.json"
  tar --create --file "$root/pause.tar" --directory "$layout" .
  rm -r "$work"
}

# --- processes -----------------------------------------------------------------------------------

# start NAME PROGRAM [ARG...]: in the background, noted for down.sh. All share this script's
# process group, which is not its caller's.
start() {
  local name=$1 pid
  shift
  PATH=$tools:$PATH HOME=$root nohup "$@" >"$logs/$name.log" 2>&1 </dev/null 8>&- &
  pid=$!
  printf '%s %s\n' "$pid" "$(birth "$pid")" >"$run/$name.pid"
}

# explain NAME TEXT: dies with the last lines of that program's log.
explain() {
  say "$2; the last lines of $logs/$1.log:"
  tail --lines=15 "$logs/$1.log" >&2
  die "$1 is the program to look at; tests/cluster/down.sh takes away what has been started"
}

# wait_until NAME WHAT COMMAND...: until the command succeeds, while program NAME runs.
wait_until() {
  local name=$1 what=$2 end=$((SECONDS + start_seconds))
  shift 2
  until "$@" >/dev/null 2>&1; do
    is_running "$name" || explain "$name" "$name ended"
    ((SECONDS < end)) || explain "$name" "$what did not happen within $start_seconds s"
    sleep 0.1
  done
}

# free_port WANTED: that port of the loopback if nobody has it, else any free one.
free_port() {
  python3 - "$1" <<'PYTHON'
import socket
import sys

for port in (int(sys.argv[1]), 0):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PYTHON
}

admin() { "$tools/kubectl" --kubeconfig "$kubeconfig" "$@"; }

start_control_plane() {
  local etcd_port peer_port
  etcd_port=$(free_port 23790)
  peer_port=$(free_port 23800)
  start etcd "$tools/etcd" --name "$node_name" --data-dir "$root/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --log-level warn \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-cluster "$node_name=http://127.0.0.1:$peer_port"
  wait_until etcd "an answer of etcd" curl --silent --fail "http://127.0.0.1:$etcd_port/health"
  start kube-apiserver "$tools/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address "$api_ip" --secure-port "$api_port" --service-cluster-ip-range "$service_range" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --client-ca-file "$pki/ca.crt" --authorization-mode Node,RBAC \
    --enable-admission-plugins NodeRestriction --allow-privileged \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$pki/service-account.pub" \
    --service-account-signing-key-file "$pki/service-account.key" \
    --kubelet-preferred-address-types InternalIP --kubelet-certificate-authority "$pki/ca.crt" \
    --kubelet-client-certificate "$pki/kubelet-client.crt" \
    --kubelet-client-key "$pki/kubelet-client.key" \
    --audit-policy-file "$here/audit.yaml" --audit-log-path "$logs/audit.log" \
    --audit-log-maxsize 100 --audit-log-maxbackup 2
  wait_until kube-apiserver "an answer of the API server" api_answers
  start kube-controller-manager "$tools/kube-controller-manager" --bind-address 127.0.0.1 \
    --kubeconfig "$pki/kube-controller-manager.conf" --leader-elect=false \
    --use-service-account-credentials --root-ca-file "$pki/ca.crt" \
    --service-account-private-key-file "$pki/service-account.key"
  # Its 50 writes a second would be the limit of every run that waits for a node.
  start kube-scheduler "$tools/kube-scheduler" --bind-address 127.0.0.1 \
    --kubeconfig "$pki/kube-scheduler.conf" --leader-elect=false \
    --kube-api-qps 1000 --kube-api-burst 2000
}

start_node() {
  local ctr=("$tools/ctr" --address "$root/containerd.sock" --namespace k8s.io)
  mkdir -p "$root/cni"
  fill cni.json >"$root/cni/10-sandboxrun.conflist"
  fill containerd.toml >"$root/containerd.toml"
  fill kubelet.yaml >"$root/kubelet.yaml"
  start containerd "$tools/containerd" --config "$root/containerd.toml"
  make_pause_image
  wait_until containerd "an answer of containerd" "${ctr[@]}" version
  "${ctr[@]}" images import "$root/pause.tar" >"$logs/import.log" 2>&1 ||
    explain import "the sandbox image could not be imported"
  rm "$root/pause.tar"
  start kubelet "$tools/kubelet" --config "$root/kubelet.yaml" --kubeconfig "$pki/kubelet.conf" \
    --root-dir "$root/kubelet" --hostname-override "$node_name" --node-ip "$node_ip"
}

start_registry() {
  local port
  port=$(free_port 5000)
  mkdir -p "$root/registry-data"
  start registry "$tools/crane" registry serve --address "127.0.0.1:$port" \
    --disk "$root/registry-data"
  wait_until registry "an answer of the registry" curl --silent --fail "http://127.0.0.1:$port/v2/"
  printf '127.0.0.1:%s\n' "$port" >"$root/registry"
}

check_machine() {
  local name
  ((EUID == 0)) || die "a node needs root; call this as root"
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet containerd \
    containerd-shim-runc-v2 ctr runc bridge host-local loopback crane; do
    [[ -x $tools/$name ]] || die "$tools/$name is missing; ./dev cluster up builds it first"
  done
  if compgen -G '/sys/fs/cgroup/*/kubepods' >/dev/null || [[ -d /sys/fs/cgroup/kubepods ]]; then
    die "there are cgroups named kubepods: another kubelet runs on this machine, or ran"
  fi
  [[ ! -e /sys/class/net/$node_device ]] || die "there is already a network device $node_device"
}

# all_run: whether the whole cluster is up.
all_run() {
  local name
  for name in "${programs[@]}"; do is_running "$name" || return 1; done
  api_answers
}

node_is_ready() {
  admin wait --for=condition=Ready "node/$node_name" --timeout=5s &&
    admin get serviceaccount default
}

up() {
  local name
  check_machine
  umask 022
  mkdir -p "$root/containerd" "$logs" "$run/sysctls"
  mkdir -m 700 "$pki"
  printf '%s\n' "$1" >"$root/owner"
  for name in "${sysctls[@]}"; do cat "/proc/sys/$name" >"$run/sysctls/${name//\//.}"; done
  # Made by shims and kubelet wherever their own state is.
  [[ -e /run/containerd ]] || touch "$run/made-run-containerd"
  [[ -e /var/lib/kubelet ]] || touch "$run/made-var-lib-kubelet"
  ip link add "$node_device" type bridge
  ip address add "$node_ip/32" dev "$node_device"
  ip address add "$api_ip/32" dev "$node_device"
  ip link set "$node_device" up
  make_certificates
  for name in kube-controller-manager kube-scheduler kubelet; do
    write_kubeconfig "$name" "$pki/$name.conf"
  done
  (umask 077 && write_kubeconfig admin "$kubeconfig")
  [[ -z ${SUDO_UID:-} ]] || chown "$SUDO_UID" "$kubeconfig"
  start_registry
  start_control_plane
  start_node
  wait_until kubelet "that the node is Ready" node_is_ready
}

usage() {
  cat <<TEXT
The cluster is up. To use it:
  export KUBECONFIG=$kubeconfig
  export PATH=$tools:\$PATH
  kubectl get nodes
Registry: $(cat "$root/registry") (crane push, or skopeo copy --dest-tls-verify=false)
Logs:     $logs
To end it: ./dev cluster down
TEXT
}

# The cluster's programs must not share the caller's process group, or its Ctrl-C would reach them.
if [[ ${SANDBOXRUN_CLUSTER_GROUP:-} != own ]]; then
  SANDBOXRUN_CLUSTER_GROUP=own exec setsid --wait "$here/up.sh" "$@"
fi
lock
if all_run; then
  say "already up"
else
  [[ ! -e $root ]] ||
    die "$root is left from a cluster that is not whole (logs in $logs); first: tests/cluster/down.sh"
  began=$(date +%s%N)
  up "${1:-person}"
  say "Ready after $((($(date +%s%N) - began) / 1000000)) ms"
fi
usage
