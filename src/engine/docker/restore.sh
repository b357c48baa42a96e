# Copies the data directory of a snapshot, /from/pgdata, to /to/pgdata, and writes the mark of a
# complete generation, last. POSIX sh: Alpine's image has no bash. Arguments: `sync` to write to
# disk; the mark.
set -u
export LC_ALL=C

fail() {
    printf '%s\n' "$1" | head -n 5 >&2
    exit 1
}

need=$(du -sk /from/pgdata | cut -f1)
free=$(df -Pk /to | { read -r _; read -r _ _ _ free _; printf '%s' "$free"; })
[ "$free" -ge "$need" ] ||
    fail "No space left on device: the copy takes $need kB, and $free kB are free"
said=$(cp -a /from/pgdata /to 2>&1) || fail "$said"
[ "$1" != sync ] || sync -f /to 2>/dev/null || sync
printf '%s' "$2" >/to/complete.new && mv /to/complete.new /to/complete || fail "cannot write the mark"
[ "$1" != sync ] || sync -f /to 2>/dev/null || sync
