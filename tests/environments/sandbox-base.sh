#!/usr/bin/env bash
# sandbox-base: Debian 12 with Python, NumPy, matplotlib, Node, Bun and Bash, as one layer.
# Debian's packages are verified by apt's signatures, the others by the hashes kept beside this script.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cache=$1
key=$(input_key sandbox-base.sh trim-rootfs.sh requirements.txt bun.pin)
is_current "$cache" sandbox-base "$key" "$cache/oci/index.json" && exit 0

make_workspace "$cache"
say "bun from npm, wheels from PyPI"
read -r bun_package bun_version bun_sha512 < <(grep -v '^#' "$environments_dir/bun.pin")
(cd "$workspace" && npm pack --silent "$bun_package@$bun_version" >/dev/null 2>&1) ||
  { say "npm could not fetch $bun_package@$bun_version"; exit 1; }
bun_archive=$(echo "$workspace"/*.tgz)
echo "$bun_sha512  $bun_archive" | sha512sum --check --quiet
tar --extract --file "$bun_archive" --directory "$workspace" package/bin/bun
install_wheels "$workspace/wheels"

say "Debian's packages by mmdebstrap (about a minute)"
packages=python3,bash,nodejs,ca-certificates,gzip,zstd,xz-utils
mmdebstrap --quiet --variant=essential --skip=cleanup --include="$packages" --format=tar \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="install -D -m 0755 '$workspace/package/bin/bun' \"\$1/usr/local/bin/bun\"" \
  --customize-hook="mkdir -p \"\$1/usr/local/lib/python3.11\"" \
  --customize-hook="cp -r '$workspace/wheels' \"\$1/usr/local/lib/python3.11/dist-packages.new\"" \
  --customize-hook="'$environments_dir/trim-rootfs.sh' \"\$1\"" \
  bookworm "$workspace/layer.tar"

digest=$(add_image "$cache" sandbox-base "$workspace/layer.tar" \
  --config.user 64000:64000 --config.workingdir /work \
  --config.env PATH=/usr/local/bin:/usr/bin:/bin --config.env LANG=C.UTF-8)
lock_set "$cache" sandbox-base "LOCK_BASE_IMAGE=localhost/sandbox-base@$digest"
mark_current "$cache" sandbox-base "$key"
say "sandbox-base is localhost/sandbox-base@$digest"
