# shellcheck shell=bash
# Keeps the data of the tests' servers in memory. The suites make and remove
# hundreds of data directories of a thousand files each. On a disk this takes
# more time than everything else that they do.
#
# The rest of the machine sees nothing of it: tests/run starts itself again in a
# mount namespace of its own. There a tmpfs lies over the directory of the native
# engine and holds the data of the dockerd that tests/run starts. It goes away
# with the last process of the namespace. Needs packages.sh.

MEMORY_ROOT=/var/lib/devdb-test-memory
MEMORY_SIZE=8g
MEMORY_NEEDED_KB=$((10 * 1024 * 1024))
NATIVE_STORE=/var/lib/devdb

# Where the data is kept in memory; empty when it is on the disk.
MEMORY=''

# move_to_memory PROGRAM ARGUMENT...: starts the program again where its data is
# in memory, unless it is there already or that is not possible.
move_to_memory() {
    if [[ ${DEVDB_TEST_MEMORY:-} == entered ]]; then
        unset DEVDB_TEST_MEMORY
        mount_memory
        return
    fi
    if can_use_memory; then
        echo "keeping the test databases in memory (DEVDB_TEST_ON_DISK=1 keeps them on the disk)"
        DEVDB_TEST_MEMORY=entered exec unshare --mount --propagation private "$@"
    fi
    echo "keeping the test databases on the disk: $WHY"
    WHY=''
}

can_use_memory() {
    [[ -z ${DEVDB_TEST_ON_DISK:-} ]] || because "DEVDB_TEST_ON_DISK is set" || return
    ((EUID == 0)) || because "only root can mount a tmpfs" || return
    (($(available_kb) >= MEMORY_NEEDED_KB)) || because "less than $((MEMORY_NEEDED_KB >> 20)) GB of memory are available" || return
    unshare --mount --propagation private mount -t tmpfs devdb-tests /mnt 2>/dev/null || because "a tmpfs cannot be mounted here"
}

available_kb() {
    awk '/^MemAvailable:/ { print $2 }' /proc/meminfo
}

# The native engine gives its directory these permissions, too.
mount_memory() {
    mkdir -p "$MEMORY_ROOT" "$NATIVE_STORE"
    mount -t tmpfs -o "size=$MEMORY_SIZE,mode=711" devdb-tests "$MEMORY_ROOT"
    mkdir -m 711 "$MEMORY_ROOT/native" "$MEMORY_ROOT/docker"
    mount --bind "$MEMORY_ROOT/native" "$NATIVE_STORE"
    MEMORY=$MEMORY_ROOT
}
