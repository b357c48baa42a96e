# shellcheck shell=bash
# The file system of the stand-in for postgres:15, made from Debian packages
# because the machines that run these tests may reach no image registry.

# The images that are built on it are made anew when this file changes.
rootfs_hash() {
    sha256sum <"$SUPPORT/rootfs.sh" | cut -c1-12
}

# build_rootfs DIR: about a minute and a half, nearly all of it debootstrap.
build_rootfs() {
    local root=$1
    debootstrap --variant=minbase --include=postgresql-15,locales,gosu bookworm "$root" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        return 1
    }
    use_official_ids "$root"
    chroot "$root" localedef -i en_US -c -f UTF-8 -A /usr/share/locale/locale.alias en_US.UTF-8
    # The official image listens everywhere; Debian's default is localhost.
    sed -ri "s/^#?(listen_addresses)\s*=\s*\S+/\1 = '*'/" "$root/usr/share/postgresql/15/postgresql.conf.sample"
    strip_rootfs "$root"
}

# rootfs_version DIR: PostgreSQL's, as Debian's package has it.
rootfs_version() {
    # shellcheck disable=SC2016 # dpkg-query's variable
    chroot "$1" dpkg-query --show --showformat '${Version}' postgresql-15
}

# Debian's package takes the next free id; the official image has 999.
use_official_ids() {
    local root=$1 uid gid
    uid=$(chroot "$root" id -u postgres)
    gid=$(chroot "$root" id -g postgres)
    chroot "$root" groupmod -g 999 postgres
    chroot "$root" usermod -u 999 postgres
    find "$root" -xdev -uid "$uid" -exec chown -h 999 {} +
    find "$root" -xdev -gid "$gid" -exec chgrp -h 999 {} +
}

# A small image is imported, pushed and pulled sooner. Without LLVM a server
# does not compile queries and says nothing about it.
strip_rootfs() {
    local root=$1
    rm -rf "$root"/usr/share/{doc,info,man,i18n,lintian} "$root"/usr/share/locale/?? "$root"/usr/share/locale/??[_@]* \
        "$root"/var/{cache/apt,lib/apt/lists}/* "$root"/var/log/* \
        "$root"/usr/lib/postgresql/15/lib/{bitcode,llvmjit*} \
        "$root"/usr/lib/x86_64-linux-gnu/lib{LLVM,z3}* \
        "$root"/{etc,var/lib}/postgresql/15
}
