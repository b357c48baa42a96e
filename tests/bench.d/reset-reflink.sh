# shellcheck shell=bash
# The same where a file can be cloned instead of copied: XFS in a file, with the
# data of both sides on it.

((EUID == 0)) || skip 'only root can mount a file system'
has_server_programs || install_postgres_programs || skip "$WHY"
need mkfs.xfs:xfsprogs || skip "$WHY"

filesystem=$SCRATCH/xfs
store=''
unmount() {
    stop_handmade_native "$filesystem/handmade/data"
    remove_projects
    [[ -z $store ]] || ! mountpoint -q "$store" || umount "$store"
    ! mountpoint -q "$filesystem" || umount "$filesystem"
}
trap unmount EXIT

small=$(new_project reflink native)
large=$(new_large_project reflink-1000 native)
# devdb makes its store where it wants it; then the file system goes over it.
run_quietly devdb_in "$small" up
purge "$small"
store=$(native_store)
truncate --size 8G "$filesystem.img"
run_quietly mkfs.xfs -m reflink=1 "$filesystem.img"
mkdir "$filesystem"
mount -o loop "$filesystem.img" "$filesystem" 2>"$SCRATCH/why" || skip "$(<"$SCRATCH/why")"
mkdir "$filesystem/store"
cp --archive "$store/." "$filesystem/store"
chmod --reference "$store" "$filesystem/store"
chown --reference "$store" "$filesystem/store"
mount --bind "$filesystem/store" "$store"
open_directory "$filesystem/handmade"

measure_native_resets "$small" "$large" "$filesystem/handmade/data" "$(free_port)" ', XFS'
compare 'native reset, 4 migrations, XFS' 'native script, 4 migrations, XFS' 0.3
compare 'native reset, 1000 migrations, XFS' 'native script, 1000 migrations, XFS' 0.3
