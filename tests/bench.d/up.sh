# shellcheck shell=bash
# `up` when nothing is to do: what everybody types first, a hundred times a day.

project=$(new_project up docker)
port=$(free_port)
run_quietly devdb_in "$project" up
run_quietly compose_until_healthy "$port" 5s
container=$(compose "$port" 5s ps --quiet db)
for ((i = 0; i < 2 * RUNS; i++)); do
    timed 'up, nothing to do' devdb_in "$project" up
    timed 'docker-compose up -d, nothing to do' compose "$port" 5s up --detach
    timed 'docker inspect' docker inspect "$container"
done
compare 'up, nothing to do' 'docker-compose up -d, nothing to do' 0.2
compare 'up, nothing to do' 'docker inspect' 3.0
