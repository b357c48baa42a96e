# shellcheck shell=bash
# One new migration after a thousand old ones, on top of what is cached, against
# a reset that finds everything.

project=$(new_large_project new-migration docker)
run_quietly devdb_in "$project" up
run_quietly devdb_in "$project" reset
for ((i = 0; i < RUNS; i++)); do
    pause
    timed 'reset, 1000 migrations' devdb_in "$project" reset
    add_migration "$project" $((996 + i))
    pause
    timed 'reset, 1000 and a new one' devdb_in "$project" reset
done
compare 'reset, 1000 and a new one' 'reset, 1000 migrations' 2.5
