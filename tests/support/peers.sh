# shellcheck shell=bash
# What devdb is measured against, how it is installed, and how it goes away.
# Needs packages.sh, tools.sh, NAME, SCRATCH, SUPPORT, PEERS.

PEER_PASSWORD=bench
HANDMADE=$NAME-handmade

# Below the range that the kernel hands out, and nothing listens on it.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# peer_url PORT
peer_url() {
    echo "postgres://postgres:$PEER_PASSWORD@127.0.0.1:$1/app"
}

# handmade PORT DIRECTORY: the script by hand, on this project's files.
handmade() {
    "$SUPPORT/handmade.sh" "$HANDMADE" "$1" "$2"
}

# What a reset is for people with such a script.
handmade_again() {
    remove_handmade
    handmade "$@"
}

remove_handmade() {
    docker rm --force --volumes "$HANDMADE" >/dev/null 2>&1 || :
    docker volume rm --force "$HANDMADE" >/dev/null 2>&1 || :
}

# handmade_native DATA PORT DIRECTORY: the same without containers, and over
# what the last time left.
handmade_native() {
    "$SUPPORT/handmade-native.sh" "$@"
}

# open_directory PATH: one that the server's user may work in.
open_directory() {
    mkdir -p "$1"
    if ((EUID == 0)); then
        chown postgres: "$1"
    fi
}

# native_directory: where it keeps its data: as root on the file system of
# devdb's own, else in SCRATCH.
native_directory() {
    local directory=$SCRATCH/native
    ((EUID != 0)) || directory=/var/lib/$NAME
    open_directory "$directory"
    echo "$directory"
}

stop_handmade_native() {
    "$SUPPORT/handmade-native.sh" stop "$1" >/dev/null 2>&1 || :
}

# remove_handmade_native DATA
remove_handmade_native() {
    stop_handmade_native "$1"
    rm -rf --one-file-system "$1"
}

# handmade_native_status DATA: what such a script asks before it starts a server.
handmade_native_status() {
    "$SUPPORT/handmade-native.sh" status "$1"
}

# compose PORT INTERVAL ARGUMENT...
compose() {
    BENCH_PORT=$1 BENCH_INTERVAL=$2 docker-compose --project-name "$NAME" --file "$SUPPORT/compose.yaml" "${@:3}"
}

# compose_until_healthy PORT INTERVAL: what `up --wait` does, which not every
# version of Compose has.
compose_until_healthy() {
    local container
    compose "$1" "$2" up --detach
    container=$(compose "$1" "$2" ps --quiet db)
    until [[ $(docker inspect --format '{{.State.Health.Status}}' "$container") == healthy ]]; do
        sleep 0.05
    done
}

# bare_run PORT: the image by itself, until a login works.
bare_run() {
    docker run --detach --name "$HANDMADE" --volume "$HANDMADE:/var/lib/postgresql/data" \
        --publish "127.0.0.1:$1:5432" --env POSTGRES_PASSWORD=$PEER_PASSWORD --env POSTGRES_DB=app postgres:15
    until psql "$(peer_url "$1")" --no-psqlrc -qAtc 'select 1' >/dev/null 2>&1; do
        sleep 0.05
    done
}

install_dslr() {
    [[ ! -x $PEERS/dslr/bin/dslr ]] || return 0
    need python3:python3 || return
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || return
    HOME=$PERSONS_HOME python3 -m venv "$PEERS/dslr" || because 'python3 cannot make an environment' || return
    HOME=$PERSONS_HOME "$PEERS/dslr/bin/pip" install --quiet DSLR psycopg2-binary || because 'pip cannot install DSLR'
}

# dslr PORT ARGUMENT...
dslr() {
    "$PEERS/dslr/bin/dslr" --url "$(peer_url "$1")" "${@:2}"
}

# Whatever a topic that was cut short has left.
remove_peers() {
    docker ps --all --quiet --filter "name=^/?$NAME" 2>/dev/null | xargs --no-run-if-empty docker rm --force --volumes >/dev/null 2>&1 || :
    docker volume ls --quiet --filter "name=^$NAME" 2>/dev/null | xargs --no-run-if-empty docker volume rm --force >/dev/null 2>&1 || :
    docker network ls --quiet --filter "name=^$NAME" 2>/dev/null | xargs --no-run-if-empty docker network rm >/dev/null 2>&1 || :
    local data
    for data in "$SCRATCH/native/data" "/var/lib/$NAME/data"; do
        [[ ! -d $data ]] || stop_handmade_native "$data"
    done
    rm -rf --one-file-system "$SCRATCH/native" "/var/lib/$NAME"
}
