#!/usr/bin/env bash
# trim-rootfs.sh ROOT: turns a fresh Debian tree into one that a run may have: nothing that
# installs packages, changes users, mounts or enters namespaces, and no setuid or setgid bit.
# Called as mmdebstrap's last hook, in place of its own cleaning, which needs the apt removed here.
set -euo pipefail
root=$(realpath "${1:?}")
[[ $root != / ]] || { echo "trim-rootfs.sh: refuses to trim the running system" >&2; exit 2; }

# mmdebstrap leaves dist-packages of Debian empty; the wheels take its place.
local_python=$root/usr/local/lib/python3.11
rm -rf "$local_python/dist-packages"
mv "$local_python/dist-packages.new" "$local_python/dist-packages"
chown -R root:root "$local_python"

rm -rf "$root"/usr/sbin/*
for name in apt dpkg update-alternatives deb-systemd-helper deb-systemd-invoke debconf su passwd chsh chfn \
  newgrp sg gpasswd chage expiry login faillog lastlog mount umount findmnt lsns nsenter unshare setpriv \
  chroot ischroot mknod partx addpart delpart resizepart wdctl run-parts mesg; do
  rm -f "$root/usr/bin/$name"
done
rm -f "$root"/usr/bin/{apt,dpkg}-* "$root"/usr/bin/perl*
# What is written in Perl cannot run any more.
grep --recursive --files-with-matches --max-count=1 '^#!.*perl' "$root/usr/bin" | xargs --no-run-if-empty rm -f
rm -rf "$root"/usr/lib/{apt,dpkg,init,systemd,udev} "$root"/usr/share/{perl,perl5,debconf,bash-completion,lintian,bug,gcc,pam,pam-configs,polkit-1,menu,pixmaps} \
  "$root"/usr/lib/x86_64-linux-gnu/{perl,perl-base,perl5,security} "$root"/usr/lib/x86_64-linux-gnu/lib{perl,apt-}*.so* \
  "$root"/usr/share/nodejs/{npm,corepack} "$root"/etc/{apt,dpkg,cron.daily,init.d,rc?.d,pam.d,security,skel,systemd} "${root:?}"/{boot,srv,media}
# The list of packages stays: it says what is in the image. Their scripts and caches go.
find "$root/var/lib/dpkg" -mindepth 1 -maxdepth 1 ! -name status -exec rm -rf {} +
rm -rf "$root"/var/lib/apt "$root"/var/cache/* "$root"/var/log/* "$root"/tmp/* "$root"/root/.[!.]*
rm -f "$root"/etc/{hostname,resolv.conf,machine-id}

printf 'sandbox:x:64000:64000:sandbox:/work:/bin/bash\n' >>"$root/etc/passwd"
printf 'sandbox:x:64000:\n' >>"$root/etc/group"
mkdir -p "$root"/{work,data,env,results}

# Bytecode that is not tied to file times, so that it holds in every copy of the tree.
find "$root/usr" -name __pycache__ -type d -prune -exec rm -rf {} +
for folder in usr/lib/python3.11 usr/local/lib/python3.11/dist-packages; do
  python3.11 -m compileall -q -j 2 --invalidation-mode unchecked-hash -s "$root" -p / "$root/$folder" || true
done

find "$root" -xdev -type f -perm /6000 -exec chmod a-s {} +
find "$root" -xdev -type d -perm /6000 -exec chmod a-s {} +
