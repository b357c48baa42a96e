
# Copies the data directory of a snapshot, /from/pgdata, to /to/pgdata, and writes the mark of a
# complete generation, last. Arguments: `sync` to write to disk; the mark.
ensure_room "$(kilobytes /from/pgdata)"
said=$(cp -a /from/pgdata /to 2>&1) || fail "$said"
sync_to "$1"
printf '%s' "$2" | write_whole /to/complete
sync_to "$1"
