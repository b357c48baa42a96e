# shellcheck shell=bash
# `devdb run -- true` when the state is cached, against a bare container of the
# same image that runs `true`; and eight at once.

has_server_programs || install_postgres_programs || skip "$WHY"

bare() {
    docker run --rm --entrypoint true postgres:15
}

# at_once COUNT COMMAND...
at_once() {
    local count=$1 i pids=()
    shift
    for ((i = 0; i < count; i++)); do
        "$@" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || return
    done
}

one_after_another() {
    local count=$1 i
    shift
    for ((i = 0; i < count; i++)); do
        "$@" || return
    done
}

docker=$(new_project run docker)
native=$(new_project run-native native)
for project in "$docker" "$native"; do
    run_quietly devdb_in "$project" run -- true
    run_quietly devdb_in "$project" run -- true
done
run_quietly bare
for ((i = 0; i < RUNS; i++)); do
    timed 'docker run --rm true' bare
    timed 'run -- true' devdb_in "$docker" run -- true
    timed 'native run -- true' devdb_in "$native" run -- true
done
for ((i = 0; i < RUNS; i++)); do
    timed 'eight bare, one after another' one_after_another 8 bare
    timed 'run, eight at once' at_once 8 devdb_in "$docker" run -- true
    timed 'native run, eight at once' at_once 8 devdb_in "$native" run -- true
done
compare 'run -- true' 'docker run --rm true' 2.2
compare 'native run -- true' 'docker run --rm true' 0.6
compare 'run, eight at once' 'eight bare, one after another' 1.2
compare 'native run, eight at once' 'eight bare, one after another' 1.2
