#!/usr/bin/env bash
# trim-rootfs.sh ROOT: turns a fresh Debian tree into one that a run may have: nothing that
# installs packages, changes users, mounts or enters namespaces, and no setuid or setgid bit.
# Called as mmdebstrap's last hook, in place of its own cleaning, which needs the apt removed here.
set -euo pipefail
root=$1

# mmdebstrap leaves dist-packages of Debian empty; the wheels take its place.
local_python=$root/usr/local/lib/python3.11
rm -rf "$local_python/dist-packages"
mv "$local_python/dist-packages.new" "$local_python/dist-packages"
chown -R root:root "$local_python"

for name in apt dpkg dpkg-deb dpkg-divert dpkg-maintscript-helper dpkg-query dpkg-realpath dpkg-split \
  dpkg-statoverride dpkg-trigger dselect update-alternatives deb-systemd-helper deb-systemd-invoke debconf \
  start-stop-daemon dpkg-preconfigure dpkg-reconfigure dpkg-fsys-usrunmess perl perl5.36.0 perl5.36-x86_64-linux-gnu \
  su passwd chsh chfn newgrp sg gpasswd chage expiry chpasswd chgpasswd vipw vigr pwck grpck \
  useradd userdel usermod groupadd groupdel groupmod groupmems newusers pwconv pwunconv grpconv grpunconv \
  adduser addgroup deluser delgroup login faillog lastlog nologin runuser sulogin getty agetty \
  mount umount swapon swapoff losetup pivot_root switch_root nsenter unshare setpriv chroot \
  fsck mkfs blkid blkdiscard fdisk sfdisk cfdisk wipefs hwclock ctrlaltdel ldconfig unix_chkpwd unix_update; do
  rm -f "$root/usr/bin/$name" "$root/usr/sbin/$name"
done
rm -f "$root"/usr/bin/apt-* "$root"/usr/sbin/{fsck,mkfs,mkswap,debconf,pam}* "$root"/usr/bin/{perl,debconf}*
rm -rf "$root"/usr/lib/{apt,dpkg} "$root"/usr/share/{perl,perl5,debconf,bash-completion,zoneinfo-icu,lintian,bug,gcc} \
  "$root"/usr/lib/x86_64-linux-gnu/{perl,perl-base,perl5} "$root"/usr/lib/x86_64-linux-gnu/lib{perl,apt-}*.so* \
  "$root"/usr/share/nodejs/{npm,corepack} "$root"/etc/{apt,dpkg,cron.daily,init.d,alternatives.bak}
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
