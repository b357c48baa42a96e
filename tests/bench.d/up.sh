# shellcheck shell=bash
# `up` when nothing is to do: what everybody types first, a hundred times a day. In
# containers, then without, against what asks no more than whether a server is there.

docker=$(new_project up docker)
port=$(free_port)
run_quietly devdb_in "$docker" up
run_quietly compose_until_healthy "$port" 5s
container=$(compose "$port" 5s ps --quiet db)
for ((i = 0; i < 2 * RUNS; i++)); do
    timed 'up, nothing to do' devdb_in "$docker" up
    timed 'docker-compose up -d, nothing to do' compose "$port" 5s up --detach
    timed 'docker inspect' docker inspect "$container"
done
compare 'up, nothing to do' 'docker-compose up -d, nothing to do' 0.2
compare 'up, nothing to do' 'docker inspect' 3.0

has_server_programs || install_postgres_programs || skip "$WHY"
native=$(new_project up-native native)
data=$(native_directory)/data
port=$(free_port)
# What Debian has in the PATH is a Perl script that looks for it.
isready=/usr/lib/postgresql/15/bin/pg_isready
[[ -x $isready ]] || isready=pg_isready
run_quietly devdb_in "$native" up
run_quietly handmade_native "$data" "$port" "$native"
for ((i = 0; i < 2 * RUNS; i++)); do
    timed 'native up, nothing to do' devdb_in "$native" up
    timed 'pg_isready' "$isready" --host=127.0.0.1 --port="$port"
    timed 'script that asks pg_ctl status' handmade_native_status "$data"
done
compare 'native up, nothing to do' 'pg_isready'
compare 'native up, nothing to do' 'script that asks pg_ctl status'
