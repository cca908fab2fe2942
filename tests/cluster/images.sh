#!/usr/bin/env bash
# Builds the images as their Dockerfiles say, on a Debian of our own, and pushes them.
#   tests/cluster/images.sh REGISTRY [IMAGE...]
# REGISTRY is host:port, spoken to over http. IMAGE is sandbox or operator, or NAME=TARGET: the
# operator's Dockerfile with that target of cmake; without any, sandbox and operator. Prints a line
# "NAME REGISTRY/sandboxrun/NAME@sha256:..." for each. Needs root. What can be kept (the base, layers,
# ccache) lies in ${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/images.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${SANDBOXRUN_CACHE:-$HOME/.cache/sandboxrun}/images
base=docker.io/library/debian:bookworm-slim

say() { printf 'images: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

policy=$cache/policy.json
# Storage of our own: no image of the machine's is used, none is left in its storage.
containers() {
  local program=$1 verb=$2
  shift 2
  TMPDIR=$cache/tmp "$program" --root "$cache/storage" --runroot "$cache/run" "$verb" "$@"
}

# The name that the Dockerfiles use, for a Debian made here: nothing is pulled.
make_base() {
  ! containers buildah inspect --type image "$base" >/dev/null 2>&1 || return 0
  say "making $base"
  mmdebstrap --quiet --variant=minbase bookworm "$cache/base.tar" >&2
  printf 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n' >"$cache/tmp/Dockerfile"
  ln -f "$cache/base.tar" "$cache/tmp/base.tar"
  build "$base" "$cache/tmp/Dockerfile" "$cache/tmp"
  rm "$cache/base.tar" "$cache/tmp/base.tar" "$cache/tmp/Dockerfile"
}

# build NAME DOCKERFILE CONTEXT [ARG...]
build() {
  local name=$1 file=$2 context=$3
  shift 3
  containers buildah bud --isolation chroot --pull-never --layers --signature-policy "$policy" \
    --tag "$name" --file "$file" "$@" "$context" >&2
}

push() {
  local name=$1 digest=$cache/tmp/digest
  containers buildah push --quiet --signature-policy "$policy" --tls-verify=false \
    --digestfile "$digest" "localhost/sandboxrun/$name" "docker://$registry/sandboxrun/$name" >&2
  printf '%s %s/sandboxrun/%s@%s\n' "$name" "$registry" "$name" "$(cat "$digest")"
}

# What a build that was cut off has left, and the mount that the storage makes for itself.
clear_storage() {
  local point
  containers buildah rm --all >/dev/null 2>&1 || true
  while read -r point; do
    umount "$point" || say "$point could not be unmounted"
  done < <(awk '{print $5}' /proc/self/mountinfo | grep "^$cache/storage/" | tac)
}

((EUID == 0)) || die "unpacking a Debian needs root; call this as root"
registry=${1:?which registry? host:port}
shift
(($#)) || set -- sandbox operator
for program in buildah mmdebstrap; do
  command -v "$program" >/dev/null || die "$program is missing; ./dev setup installs it"
done
mkdir -p "$cache/tmp"
exec 9>"$cache/lock"
flock 9
trap clear_storage EXIT
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$policy"
make_base
for image in "$@"; do
  name=${image%%=*}
  case $image in
    sandbox) build localhost/sandboxrun/sandbox "$top/sandbox-image/Dockerfile" "$top" ;;
    *) build "localhost/sandboxrun/$name" "$top/Dockerfile" "$top" --build-arg "TARGET=${image##*=}" ;;
  esac
  push "$name"
done
