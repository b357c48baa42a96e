# shellcheck shell=bash
# Large seeds: 20 000 YAML rows with a reference each against the same rows without;
# and what a seed file of 5 MB adds to the commands of every minute.

has_server_programs || install_postgres_programs || skip "$WHY"

# rows NUMBER [REFERENCE]: 20 000 rows with ids of their own.
rows() {
    awk -v from="$(($1 * 20000))" -v parent="${2:-}" 'BEGIN {
        print "readings:"
        for (n = from; n < from + 20000; n++) {
            printf "  r%d: {id: %d, sensor: %s, note: reading}\n", n, n, parent == "" ? 1 : parent
        }
    }'
}

# new_seeded_project NAME: a native project with a table of sensors and one of readings.
new_seeded_project() {
    local directory
    directory=$(new_project "$1" native)
    rm -f "$directory"/migrations/* "$directory"/seeds/*
    cat >"$directory/migrations/20260101000000_readings.sql" <<'SQL'
CREATE TABLE sensors (id int PRIMARY KEY, name text);
CREATE TABLE readings (id int PRIMARY KEY, sensor int REFERENCES sensors, note text);
SQL
    printf 'sensors:\n  hall: {id: 1, name: Hall}\n' >"$directory/seeds/000.yaml"
    # The copy of the data of before is a figure of its own.
    printf '\nmigrations: { keep_before: false }\n' >>"$directory/devdb.yaml"
    echo "$directory"
}

project=$(new_seeded_project seeds)
run_quietly devdb_in "$project" up
for ((i = 0; i < RUNS; i++)); do
    rows $((2 * i)) >"$project/seeds/$((100 + 2 * i)).yaml"
    timed '20 000 rows' devdb_in "$project" seed
    rows $((2 * i + 1)) '!ref hall' >"$project/seeds/$((101 + 2 * i)).yaml"
    timed '20 000 rows with a !ref each' devdb_in "$project" seed
done
compare '20 000 rows with a !ref each' '20 000 rows' 1.2

small=$(new_project seeds-small native)
large=$(new_project seeds-5-mb native)
{
    echo 'organizations:'
    awk 'BEGIN { for (n = 0; n < 20000; n++) printf "  o%d:\n    name: %0200d\n", n, n }'
} >"$large/seeds/900_large.yaml"
for project in "$small" "$large"; do
    run_quietly devdb_in "$project" up
done
# A file that has just changed is read again.
sleep 3
for project in "$small" "$large"; do
    run_quietly devdb_in "$project" status
done
for ((i = 0; i < 2 * RUNS; i++)); do
    timed 'status, sample' devdb_in "$small" status
    timed 'status, 5 MB of seeds' devdb_in "$large" status
    timed 'up, sample' devdb_in "$small" up
    timed 'up, 5 MB of seeds' devdb_in "$large" up
done
compare 'status, 5 MB of seeds' 'status, sample' 1.2
compare 'up, 5 MB of seeds' 'up, sample' 1.2
