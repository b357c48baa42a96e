# What the scripts of helpers share. POSIX sh and the programs that busybox has, too: Alpine's image
# has no bash.
set -u
export LC_ALL=C

fail() {
    printf '%s\n' "$1" | head -n 5 >&2
    exit 1
}

kilobytes() {
    du -sk "$1" 2>/dev/null | cut -f1
}

# Fails before anything is written when /to has no room for $1 kB: on a disk that is full, if only
# for a moment, a running server cannot write its log, and dies.
ensure_room() {
    free=$(df -Pk /to | {
        read -r _
        read -r _ _ _ free _
        printf '%s' "$free"
    })
    [ "$free" -ge "$1" ] ||
        fail "No space left on device: the copy takes $1 kB, and $free kB are free"
}

# Prints the lines that come on standard input, their number first.
lines() {
    read -r count || exit 1
    while [ "$count" -gt 0 ]; do
        IFS= read -r line || exit 1
        printf '%s\n' "$line"
        count=$((count - 1))
    done
}

# Waits for the disk, unless the database itself would not ($1).
sync_to() {
    [ "$1" != sync ] || sync -f /to 2>/dev/null || sync
}

# Writes standard input into the file $1, whole or not at all.
write_whole() {
    cat >"$1.new" && mv "$1.new" "$1" || fail "cannot write $1"
}
