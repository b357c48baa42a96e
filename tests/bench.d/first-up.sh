# shellcheck shell=bash
# The first `up` of a project: with its state cached, with the base state cached,
# with nothing. Against the script by hand, on the same migrations and seeds; in
# containers, then without.

# measure_first_ups NAME PROJECT SCRIPT REMOVE COMMAND...: NAME and SCRIPT are those
# of the figures. The command is the script by hand; REMOVE takes away what it made.
measure_first_ups() {
    local name=$1 project=$2 script=$3 remove=$4 i
    shift 4
    # Whoever comes second finds the disk warm, so a round that does not count first.
    run_quietly devdb_in "$project" up
    run_quietly "$@"
    for ((i = 0; i < RUNS; i++)); do
        purge "$project"
        timed "$name, hit" devdb_in "$project" up

        "$remove"
        timed "$script" "$@"

        purge "$project"
        change_first_migration "$project"
        up_until_usable "$name, miss" "$project"

        purge "$project"
        run_quietly devdb_in "$project" cache clear --yes
        timed "$name, nothing cached" devdb_in "$project" up
    done
    compare "$name, hit" "$script"
    compare "$name, miss, until usable" "$script" 1.3
    compare "$name, miss" "$script" 1.8
    compare "$name, nothing cached" "$script"
}

# up_until_usable NAME PROJECT: an `up` that bakes, and beside it a client that asks
# for the seeded rows until it gets them, at the URL that devdb prints. Notes both
# moments; the client looks every now and then, so devdb may be the first to say so.
up_until_usable() {
    local from usable returned
    from=$(now_us)
    until_usable "$2" >"$SCRATCH/usable" 2>/dev/null &
    run_quietly devdb_in "$2" up
    returned=$(now_us)
    wait $!
    usable=$(<"$SCRATCH/usable")
    note "$1, until usable" $(((usable < returned ? usable : returned) - from))
    note "$1" $((returned - from))
}

until_usable() {
    local url
    until url=$(devdb_in "$1" url); do
        sleep 0.05
    done
    until [[ $(psql "$url" --no-psqlrc -qAtc 'select count(*) from gateways') == 12 ]]; do
        sleep 0.05
    done
    now_us
}

remove_native() {
    remove_handmade_native "$data"
}

# The client, when the `up` beside it has failed.
trap 'jobs -p | xargs --no-run-if-empty kill' EXIT

docker=$(new_project first-up docker)
measure_first_ups 'first up' "$docker" 'script by hand' remove_handmade handmade "$(free_port)" "$docker"
purge "$docker"
remove_handmade

has_server_programs || install_postgres_programs || skip "$WHY"
native=$(new_project first-up-native native)
data=$(native_directory)/data
measure_first_ups 'native first up' "$native" 'native script by hand' remove_native handmade_native "$data" "$(free_port)" "$native"
