#!/usr/bin/env bash
# Builds the images of this checkout and pushes them, and those of the examples, to the registry of the
# cluster that up.sh started. As root; ./dev setup has made the examples' images.
#   tests/cluster/publish.sh
# Writes to the cluster's folder:
#   images             a line "NAME REFERENCE" for each of sandbox, operator, sandbox-base, sandbox-tiny
#   values.yaml        what helm needs to install the chart here
#   environments.lock  the examples' placeholders, with images that this cluster can pull
#   examples/*.yaml    the examples that run on it, filled
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# The examples' images, from the OCI layout of ./dev setup, under the digests that they have there.
push_examples() {
  local name digest
  printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"
  for name in sandbox-base sandbox-tiny; do
    skopeo --policy "$work/policy.json" copy --quiet --dest-tls-verify=false --preserve-digests \
      --digestfile "$work/digest" "oci:$cache/oci:$name" "docker://$registry/$name"
    digest=$(cat "$work/digest")
    printf '%s %s/%s@%s\n' "$name" "$registry" "$name" "$digest"
  done
}

# field NAME: the reference of one image; its repository and digest are around the @.
field() { sed -n "s/^$1 //p" "$work/images"; }

write_values() {
  local operator sandbox
  operator=$(field operator)
  sandbox=$(field sandbox)
  cat <<YAML
images:
  operator: {repository: "${operator%@*}", digest: "${operator#*@}"}
  sandbox: {repository: "${sandbox%@*}", digest: "${sandbox#*@}"}
clusterCIDRs: [$service_range, $pod_range]
networkPolicy:
  apiServer: {cidrs: [$api_ip/32], ports: [$api_port]}
YAML
}

write_lock() {
  printf 'LOCK_BASE_IMAGE=%s\n' "$(field sandbox-base)"
  printf 'LOCK_TINY_IMAGE=%s\n' "$(field sandbox-tiny)"
  sed -n '/^LOCK_PYTHON_DIGEST=/p' "$cache/environments.lock"
}

fill_examples() {
  local manifest name
  mkdir -p "$root/examples"
  for manifest in "$top"/docs/examples/*/run.yaml; do
    # The launcher's own source: a file of this machine, which no cluster can fetch.
    ! grep --quiet '^ *file:$' "$manifest" || continue
    name=$(basename "$(dirname "$manifest")")
    "$top/tests/environments/fill.sh" "$root" "$manifest" >"$root/examples/$name.yaml"
  done
}

((EUID == 0)) || die "building images needs root; call this as root"
[[ -s $root/registry ]] || die "there is no cluster; ./dev cluster up starts it"
[[ -s $cache/environments.lock ]] || die "there are no examples' images; ./dev setup makes them"
registry=$(cat "$root/registry")
"$top/tests/cluster/images.sh" "$registry" sandbox operator >"$work/images"
push_examples >>"$work/images"
write_values >"$root/values.yaml"
write_lock >"$root/environments.lock"
fill_examples
# Last: who finds it finds the others.
install -m 0644 "$work/images" "$root/images"
cat <<TEXT
Published. To install the operator and run the first example:
  helm install sandboxrun-crds charts/sandboxrun-crds
  helm install sandboxrun charts/sandboxrun --namespace sandboxrun-system --create-namespace --values $root/values.yaml
  kubectl apply -f $root/examples/hello.yaml
TEXT
