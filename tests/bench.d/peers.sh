# shellcheck shell=bash
# What else people wait for until a database answers. Nothing is promised here;
# it is for the reader of the table.

project=$(new_project peers docker)
port=$(free_port)

remove_composed() {
    compose "$port" 10s down --volumes >/dev/null 2>&1
}

run_quietly devdb_in "$project" up
for ((i = 0; i < RUNS; i++)); do
    purge "$project"
    timed 'first up, hit' devdb_in "$project" up
    timed 'docker run until a login works' bare_run "$port"
    remove_handmade
    timed 'compose, 1 s health check' compose_until_healthy "$port" 1s
    remove_composed
    timed 'compose, 10 s health check' compose_until_healthy "$port" 10s
    remove_composed
done
compare 'first up, hit' 'docker run until a login works'
compare 'first up, hit' 'compose, 1 s health check'
compare 'first up, hit' 'compose, 10 s health check'
