# shellcheck shell=bash
# devdb against another devdb, the program that BENCH_OLD names: the same commands on
# both engines, in turn. Not one of the usual topics.

[[ -x ${BENCH_OLD:-} ]] || skip "BENCH_OLD names no program"
has_server_programs || install_postgres_programs || skip "$WHY"

# old COMMAND...: with the other devdb, and records and a developer of its own.
old() {
    DEVDB=$BENCH_OLD DEVDB_DATA_DIR=$SCRATCH/home/old DEVDB_DEVELOPER=$NAME-old "$@"
}

# both WHAT COMMAND...: notes the time of both, the old one first.
both() {
    local what=$1
    shift
    pause
    old timed "$what, before" "$@"
    pause
    timed "$what" "$@"
}

# quietly_both COMMAND...
quietly_both() {
    old run_quietly "$@"
    run_quietly "$@"
}

purge_both() {
    old purge "$1" || :
    purge "$1" || :
}

remove_old() {
    local directory
    for directory in "$SCRATCH"/projects/*/; do
        old purge "$directory" || :
        old devdb_in "$directory" cache clear --yes >/dev/null 2>&1 || :
    done
    PRIVATE_DATA=$SCRATCH/home/old remove_native_store
}
trap remove_old EXIT

# write_rows DIRECTORY: some 100 MB.
write_rows() {
    query "$(devdb_in "$1" url)" "CREATE TABLE filler AS SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 90000) n"
}

# change DIRECTORY: so that a reset keeps what was there for undo.
change() {
    query "$(devdb_in "$1" url)" 'DELETE FROM gateways'
}

# measure ENGINE
measure() {
    local small large i
    small=$(new_project "versions-$1" "$1")
    large=$(new_large_project "versions-1000-$1" "$1")
    quietly_both devdb_in "$small" up
    for ((i = 0; i < RUNS; i++)); do
        purge_both "$small"
        both "$1 first up, hit" devdb_in "$small" up
        both "$1 up, nothing to do" devdb_in "$small" up
        both "$1 status" devdb_in "$small" status
        both "$1 run -- true" devdb_in "$small" run -- true
    done
    for ((i = 0; i < RUNS; i++)); do
        # Only the base state fits: each of the two bakes what the other has not baked yet.
        purge_both "$small"
        change_first_migration "$small"
        pause
        old timed "$1 first up, miss, before" devdb_in "$small" up
        change_first_migration "$small"
        pause
        timed "$1 first up, miss" devdb_in "$small" up
    done
    quietly_both devdb_in "$small" reset
    quietly_both devdb_in "$large" up
    quietly_both devdb_in "$large" reset
    for ((i = 0; i < RUNS; i++)); do
        old change "$large"
        change "$large"
        both "$1 reset, 4 migrations" devdb_in "$small" reset
        both "$1 reset, 1000 migrations" devdb_in "$large" reset
        both "$1 undo" devdb_in "$large" undo
    done
    old write_rows "$small"
    write_rows "$small"
    for ((i = 0; i < RUNS; i++)); do
        both "$1 snapshot save, 100 MB" devdb_in "$small" snapshot save bench
        both "$1 snapshot restore, 100 MB" devdb_in "$small" snapshot restore bench
        quietly_both devdb_in "$small" snapshot rm bench
    done
    local what
    for what in 'first up, hit' 'first up, miss' 'up, nothing to do' status 'run -- true' 'reset, 4 migrations' \
        'reset, 1000 migrations' undo 'snapshot save, 100 MB' 'snapshot restore, 100 MB'; do
        compare "$1 $what" "$1 $what, before" 1.1
    done
}

measure docker
measure native
