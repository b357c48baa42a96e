# shellcheck shell=bash
# Rounds that two topics share: the same figures on another engine or another
# file system.

# measure_native_resets SMALL LARGE DATA PORT
measure_native_resets() {
    local small=$1 large=$2 data=$3 port=$4 i
    run_quietly devdb_in "$small" up
    run_quietly devdb_in "$small" reset
    run_quietly devdb_in "$large" up
    run_quietly devdb_in "$large" reset
    run_quietly handmade_native "$data" "$port" "$small"
    for ((i = 0; i < RUNS; i++)); do
        timed_reset 'native reset, 4 migrations' "$small"
        timed_reset 'native reset, 1000 migrations' "$large"
        pause
        timed 'native script, 4 migrations' handmade_native "$data" "$port" "$small"
        pause
        timed 'native script, 1000 migrations' handmade_native "$data" "$port" "$large"
    done
    holds "$large" 'SELECT count(*) FROM _sqlx_migrations' 1000
}

# measure_snapshots PROJECT PORT: of devdb's database and of the one at that port.
measure_snapshots() {
    local project=$1 port=$2 i
    fill "$(devdb_in "$project" url)"
    fill "$(peer_url "$port")"
    for ((i = 0; i < RUNS; i++)); do
        pause
        timed 'snapshot save, 450 MB' devdb_in "$project" snapshot save bench
        pause
        timed 'DSLR snapshot, 450 MB' dslr "$port" snapshot bench
        query "$(devdb_in "$project" url)" 'DROP TABLE readings_7'
        query "$(peer_url "$port")" 'DROP TABLE readings_7'
        pause
        timed 'snapshot restore, 450 MB' devdb_in "$project" snapshot restore bench
        pause
        timed 'DSLR restore, 450 MB' dslr "$port" restore bench
        holds "$project" 'SELECT count(*) FROM readings_7' 88000
        run_quietly devdb_in "$project" snapshot rm bench
        run_quietly dslr "$port" delete bench
    done
    compare 'snapshot save, 450 MB' 'DSLR snapshot, 450 MB' 1.0
    compare 'snapshot restore, 450 MB' 'DSLR restore, 450 MB' 1.5
}

# fill URL: up to 450 MB, in tables with indexes.
fill() {
    run_quietly psql "$1" --no-psqlrc -q -v ON_ERROR_STOP=1 -f "$SUPPORT/450-megabytes.sql"
}
