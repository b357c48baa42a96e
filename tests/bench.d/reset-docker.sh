# shellcheck shell=bash
# `reset` when the state is cached, with four migrations and with a thousand.

small=$(new_project reset docker)
large=$(new_large_project reset-1000 docker)
port=$(free_port)
run_quietly devdb_in "$small" up
run_quietly devdb_in "$small" reset
run_quietly devdb_in "$large" up
run_quietly devdb_in "$large" reset
run_quietly handmade "$port" "$small"
for ((i = 0; i < RUNS; i++)); do
    timed_reset 'reset, 4 migrations' "$small"
    timed_reset 'reset, 1000 migrations' "$large"
    pause
    timed 'script again, 4 migrations' handmade_again "$port" "$small"
    pause
    timed 'script again, 1000 migrations' handmade_again "$port" "$large"
done
holds "$large" 'SELECT count(*) FROM _sqlx_migrations' 1000
compare 'reset, 4 migrations' 'script again, 4 migrations' 0.6
compare 'reset, 1000 migrations' 'reset, 4 migrations' 2.5
compare 'reset, 1000 migrations' 'script again, 1000 migrations' 0.25
