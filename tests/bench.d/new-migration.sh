# shellcheck shell=bash
# One new migration after a thousand old ones, on top of what is cached, against
# a reset that finds everything.

project=$(new_large_project new-migration docker)
run_quietly devdb_in "$project" up
run_quietly devdb_in "$project" reset
for ((i = 0; i < RUNS; i++)); do
    # The reset after a bake has no copy ahead: what is compared with is the quickest there is.
    run_quietly devdb_in "$project" reset
    timed_reset 'reset, 1000 migrations' "$project"
    add_migration "$project" $((996 + i))
    timed_reset 'reset, 1000 and a new one' "$project"
done
holds "$project" 'SELECT count(*) FROM _sqlx_migrations' $((1000 + RUNS))
compare 'reset, 1000 and a new one' 'reset, 1000 migrations' 2.5
