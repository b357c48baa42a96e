
# Takes a data directory that is uploaded to /to/pgdata meanwhile, for a snapshot. Arguments: how
# many kB it takes; `sync` to write to disk.
#
# Prints `ready`, and reads a text when the upload is done. Prints the size in kB, and reads the
# manifest.
ensure_room "$1"
echo ready
lines || exit 1
chown -R "$(id -u postgres):$(id -g postgres)" /to/pgdata && chmod 700 /to/pgdata || exit 1
sync_to "$2"
kilobytes /to/pgdata
lines | write_whole /to/snapshot.json
sync_to "$2"
