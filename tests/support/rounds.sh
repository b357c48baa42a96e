# shellcheck shell=bash
# Rounds that two topics share: the same figures on another engine or another
# file system.

# Its process, while a client writes.
WRITER=''

# measure_native_resets SMALL LARGE DATA PORT [SUFFIX]: that of the figures' names.
measure_native_resets() {
    local small=$1 large=$2 data=$3 port=$4 where=${5:-} i
    run_quietly devdb_in "$small" up
    run_quietly devdb_in "$small" reset
    run_quietly devdb_in "$large" up
    run_quietly devdb_in "$large" reset
    run_quietly handmade_native "$data" "$port" "$small"
    for ((i = 0; i < RUNS; i++)); do
        timed_reset "native reset, 4 migrations$where" "$small"
        timed_reset "native reset, 1000 migrations$where" "$large"
        pause
        timed "native script, 4 migrations$where" handmade_native "$data" "$port" "$small"
        pause
        timed "native script, 1000 migrations$where" handmade_native "$data" "$port" "$large"
    done
    holds "$large" 'SELECT count(*) FROM _sqlx_migrations' 1000
}

# measure_snapshots PROJECT PORT [PREFIX]: of devdb's database and of the one at
# that port; the names of devdb's figures begin with the prefix. A client writes
# during each save. DSLR ends its session (pg_terminate_backend) before it copies
# (CREATE DATABASE ... TEMPLATE), so what is copied there does not change; devdb has
# to let it go on.
measure_snapshots() {
    local project=$1 port=$2 ours=${3:-}snapshot peer url contents from to i
    # The client, when the save beside it has failed.
    trap stop_writing EXIT
    peer=$(peer_url "$port")
    url=$(devdb_in "$project" url)
    fill "$url"
    fill "$peer"
    contents=$(contents_of "$url")
    for ((i = 0; i < RUNS; i++)); do
        url=$(devdb_in "$project" url)
        pause
        start_writing "$url"
        from=$(last_written "$url")
        timed "$ours save, 450 MB" devdb_in "$project" snapshot save bench
        still_writing
        stop_writing
        to=$(last_written "$url")
        pause
        start_writing "$peer"
        timed 'DSLR snapshot, 450 MB' dslr "$port" snapshot bench
        stop_writing
        query "$url" 'DROP TABLE readings_7'
        query "$peer" 'DROP TABLE readings_7'
        pause
        timed "$ours restore, 450 MB" devdb_in "$project" snapshot restore bench
        pause
        timed 'DSLR restore, 450 MB' dslr "$port" restore bench
        holds "$project" 'SELECT count(*) FROM readings_7' 88000
        # All that was there before, no more than there ever was, and no gap.
        holds "$project" "SELECT min(id) = 1 AND max(id) = count(*) AND max(id) BETWEEN $from AND $to FROM written" t
        ((i > 0)) || holds_contents "$project" "$contents"
        run_quietly devdb_in "$project" snapshot rm bench
        run_quietly dslr "$port" delete bench
    done
    compare "$ours save, 450 MB" 'DSLR snapshot, 450 MB' 1.0
    compare "$ours restore, 450 MB" 'DSLR restore, 450 MB' 1.5
}

# fill URL: up to 450 MB, in tables with indexes, and an empty one for the client
# that writes.
fill() {
    run_quietly psql "$1" --no-psqlrc -q -v ON_ERROR_STOP=1 -f "$SUPPORT/450-megabytes.sql"
    query "$1" 'CREATE TABLE written (id bigint PRIMARY KEY)'
}

# start_writing URL: a client that inserts a row a transaction, numbered without
# gaps, until it is stopped. Returns once it writes.
start_writing() {
    local before
    before=$(last_written "$1")
    psql "$1" --no-psqlrc -q -v ON_ERROR_STOP=1 >/dev/null 2>"$SCRATCH/writer" <<'SQL' &
INSERT INTO written SELECT coalesce(max(id), 0) + 1 FROM written \watch 0.001
SQL
    WRITER=$!
    while (($(last_written "$1") == before)); do
        still_writing || return
        sleep 0.05
    done
}

still_writing() {
    kill -0 "$WRITER" 2>/dev/null || {
        cat "$SCRATCH/writer" >&2
        echo "bench: the client that writes was disconnected" >&2
        return 1
    }
}

# stop_writing: the client, unless something else has ended it.
stop_writing() {
    [[ -n $WRITER ]] || return 0
    kill "$WRITER" 2>/dev/null || :
    wait "$WRITER" || :
    WRITER=''
}

# last_written URL
last_written() {
    query "$1" 'SELECT coalesce(max(id), 0) FROM written'
}

# contents_of URL: for each table but that of the client how many rows it has, and
# a sum over all that is in them, whatever their order.
contents_of() {
    psql "$1" --no-psqlrc -qAt -v ON_ERROR_STOP=1 <<'SQL'
SELECT format('SELECT %1$L, count(*), sum(hashtextextended((whole.*)::text, 0)) FROM %1$s AS whole', oid::regclass)
FROM pg_class
WHERE relkind IN ('r', 'm') AND relname <> 'written'
  AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
ORDER BY oid::regclass::text \gexec
SQL
}

# holds_contents DIRECTORY CONTENTS: as they were, down to each row.
holds_contents() {
    local now
    now=$(contents_of "$(devdb_in "$1" url)")
    if [[ $now != "$2" || $now != *'readings_7|88000|'* ]]; then
        diff <(echo "$2") <(echo "$now") >&2 || :
        echo "bench: $1: what was restored is not what was saved" >&2
        return 1
    fi
}
