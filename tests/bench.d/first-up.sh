# shellcheck shell=bash
# The first `up` of a project: with its state cached, with the base state cached,
# with nothing. Against the script by hand, on the same migrations and seeds.

# up_until_usable PROJECT: an `up` that bakes, and beside it a client that asks
# for the seeded rows until it gets them, at the URL that devdb prints. Notes both
# moments; the client looks every now and then, so devdb may be the first to say so.
up_until_usable() {
    local from usable returned
    from=$(now_us)
    until_usable "$1" >"$SCRATCH/usable" 2>/dev/null &
    run_quietly devdb_in "$1" up
    returned=$(now_us)
    wait $!
    usable=$(<"$SCRATCH/usable")
    note 'first up, miss, until usable' $(((usable < returned ? usable : returned) - from))
    note 'first up, miss' $((returned - from))
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

# The client, when the `up` beside it has failed.
trap 'jobs -p | xargs --no-run-if-empty kill' EXIT

project=$(new_project first-up docker)
port=$(free_port)
# Whoever comes second finds the disk warm, so a round that does not count first.
run_quietly devdb_in "$project" up
run_quietly handmade "$port" "$project"
for ((i = 0; i < RUNS; i++)); do
    purge "$project"
    timed 'first up, hit' devdb_in "$project" up

    remove_handmade
    timed 'script by hand' handmade "$port" "$project"

    purge "$project"
    change_first_migration "$project"
    up_until_usable "$project"

    purge "$project"
    run_quietly devdb_in "$project" cache clear --yes
    timed 'first up, nothing cached' devdb_in "$project" up
done
compare 'first up, hit' 'script by hand'
compare 'first up, miss, until usable' 'script by hand' 1.3
compare 'first up, miss' 'script by hand' 1.8
compare 'first up, nothing cached' 'script by hand'
