# shellcheck shell=bash
# The projects that are measured, and devdb in them. Needs SCRATCH, ROOT,
# SUPPORT, DEVDB, and PRIVATE_DATA: its data directory in this run.

# new_project NAME ENGINE: four migrations of the sample project and twelve
# seeded rows, of the kind and number that the hand-made script loads: both sides
# have the same files. Prints its directory.
new_project() {
    local directory=$SCRATCH/projects/$1
    mkdir -p "$directory"/{migrations,seeds}
    first_migrations 4 | xargs cp -t "$directory/migrations"
    cp "$SUPPORT/handmade-seeds.sql" "$directory/seeds/010_sample.sql"
    printf '%s\n' "project: $1" "engine: $2" 'postgres: { database: app }' >"$directory/devdb.yaml"
    echo "$directory"
}

# first_migrations COUNT: the files, in order.
first_migrations() {
    printf '%s\n' "$ROOT"/migrations/*.sql | head -n "$1"
}

# new_large_project NAME ENGINE: the same and 996 small migrations more.
new_large_project() {
    local directory i
    directory=$(new_project "$1" "$2")
    for ((i = 0; i < 996; i++)); do
        add_migration "$directory" "$i"
    done
    echo "$directory"
}

# add_migration DIRECTORY NUMBER: of four, one makes a table and the others
# change it.
add_migration() {
    local table=part_$(($2 / 4)) sql
    case $(($2 % 4)) in
    0) sql="CREATE TABLE $table (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);" ;;
    1) sql="ALTER TABLE $table ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();" ;;
    2) sql="CREATE INDEX ${table}_by_name ON $table (name);" ;;
    3) sql="ALTER TABLE $table ADD CONSTRAINT ${table}_is_named CHECK (name <> '');" ;;
    esac
    echo "$sql" >"$1/migrations/202602$(printf '%02d%02d%02d' $((1 + $2 / 1440)) $(($2 / 60 % 24)) $(($2 % 60)))00_step_$2.sql"
}

# devdb_in DIRECTORY COMMAND...
devdb_in() {
    "$DEVDB" -C "$@"
}

# query URL SQL
query() {
    psql "$1" --no-psqlrc -qAt -v ON_ERROR_STOP=1 -c "$2"
}

# holds DIRECTORY SQL ANSWER: a command that did nothing is fast, too.
holds() {
    local answer
    answer=$(query "$(devdb_in "$1" url)" "$2")
    [[ $answer == "$3" ]] || {
        echo "bench: $1: $2 is $answer and not $3" >&2
        return 1
    }
}

# timed_reset NAME DIRECTORY: of a database that somebody has changed.
timed_reset() {
    query "$(devdb_in "$2" url)" 'DELETE FROM gateways'
    pause
    timed "$1" devdb_in "$2" reset
    holds "$2" 'SELECT count(*) FROM gateways' 12
}

# change_first_migration DIRECTORY: nothing but the base state fits afterwards.
change_first_migration() {
    local files=("$1"/migrations/*.sql)
    echo "-- changed at $EPOCHREALTIME" >>"${files[0]}"
}

purge() {
    devdb_in "$1" down --purge --yes >/dev/null 2>&1
}

# Their states go too: nobody will ever hit them.
remove_projects() {
    local directory
    for directory in "$SCRATCH"/projects/*/; do
        [[ -d $directory ]] || continue
        devdb_in "$directory" snapshot rm bench >/dev/null 2>&1 || :
        purge "$directory" || :
        devdb_in "$directory" cache clear --yes >/dev/null 2>&1 || :
    done
    rm -rf "$SCRATCH/projects"
    remove_native_store
}

# native_store: where the native engine keeps this run's data. As root that is
# not below the data directory, and its name is devdb's business.
native_store() {
    local record
    if ((EUID != 0)); then
        echo "$PRIVATE_DATA/native"
        return
    fi
    record=$(grep -lsF "\"$PRIVATE_DATA\"" /var/lib/devdb/*/store.json) && dirname "$record"
}

remove_native_store() {
    local store
    store=$(native_store) || return 0
    # A mount point stays.
    rm -rf --one-file-system "$store" 2>/dev/null || :
}
