#!/usr/bin/env bash
# sandbox-tiny: a busybox and nothing else, for tests that only need a program to start.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cache=$1
key=$(input_key sandbox-tiny.sh)
is_current "$cache" sandbox-tiny "$key" "$cache/oci/index.json" && exit 0

make_workspace "$cache"
root=$workspace/root
mkdir -p "$root"/{bin,etc,dev,proc,sys,tmp,work,data,env,results}
install -m 0755 /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
  case $applet in
    busybox | su | passwd | login | mount | umount | chroot | nsenter | unshare | pivot_root | switch_root) ;;
    *) ln -s busybox "$root/bin/$applet" ;;
  esac
done
printf 'root:x:0:0:root:/:/bin/sh\nsandbox:x:64000:64000:sandbox:/work:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nsandbox:x:64000:\n' >"$root/etc/group"
chmod 1777 "$root/tmp"

tar --create --file "$workspace/layer.tar" --directory "$root" --sort=name --format=gnu \
  --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner .
digest=$(add_image "$cache" sandbox-tiny "$workspace/layer.tar" \
  --config.user 64000:64000 --config.env PATH=/bin --config.workingdir /work)
lock_set "$cache" sandbox-tiny "LOCK_TINY_IMAGE=localhost/sandbox-tiny@$digest"
mark_current "$cache" sandbox-tiny "$key"
say "sandbox-tiny is localhost/sandbox-tiny@$digest"
