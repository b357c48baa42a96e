# Copies the data directory /from/pgdata to /to/pgdata. Arguments: `running` when a server runs on
# it, else `stopped`; `sync` to write to disk.
#
# Prints `copied`. Of a running server it then reads the names of WAL segments and the lines of
# backup_label.
from=/from/pgdata
to=/to/pgdata

# Files of a running server may disappear before they are copied; what was to become of them is in
# the log.
copy() {
    said=$(cp -a "$@" 2>&1) && return
    left=$(printf '%s\n' "$said" | grep -v '/from/.*No such file or directory')
    if [ "$how" = stopped ] || [ -z "$said" ] || [ -n "$left" ]; then
        fail "${left:-cp failed: $said}"
    fi
}

copy_stopped() {
    copy "$from" /to
    rm -f "$to/postmaster.pid"
}

# What belongs to the running process is left out, and what is below some directories.
copy_running() {
    owner=$(stat -c %u:%g "$from")
    mkdir -m 700 "$to" "$to/base" && chown "$owner" "$to" "$to/base" || exit 1
    set --
    for path in "$from"/* "$from"/.[!.]*; do
        case ${path##*/} in
        '.[!.]*' | base) ;;
        postmaster.pid | postmaster.opts | backup_label | tablespace_map) ;;
        pg_dynshmem | pg_notify | pg_replslot | pg_serial | pg_snapshots | pg_stat_tmp | pg_subtrans)
            mkdir -m 700 "$to/${path##*/}" && chown "$owner" "$to/${path##*/}" || exit 1
            ;;
        pg_wal)
            for directory in pg_wal pg_wal/archive_status pg_wal/summaries; do
                [ -d "$from/$directory" ] || continue
                mkdir -m 700 "$to/$directory" && chown "$owner" "$to/$directory" || exit 1
            done
            ;;
        *) set -- "$@" "$path" ;;
        esac
    done
    copy "$@" "$to"
    set --
    for path in "$from"/base/*; do
        [ "${path##*/}" = pgsql_tmp ] || set -- "$@" "$path"
    done
    copy "$@" "$to/base"
}

add_end() {
    segments=$(lines) || exit 1
    set --
    for segment in $segments; do
        set -- "$@" "$from/pg_wal/$segment"
    done
    how=stopped
    copy "$@" "$to/pg_wal"
    (umask 077 && lines >"$to/backup_label") && chown "$owner" "$to/backup_label" ||
        fail "cannot write backup_label"
}

how=$1
ensure_room "$(kilobytes "$from")"
"copy_$how"
echo copied
[ "$how" = stopped ] || add_end
sync_to "$2"
