# shellcheck shell=bash
# Container engines other than the machine's own: daemons of Debian's newer releases, each
# in a root file system and a network of its own, so that the machine's daemon is not
# disturbed. What it publishes on 127.0.0.1 is there for programs in the same network:
# `inside COMMAND…` runs one there. Needs packages.sh, engine.sh and SCRATCH.

ENGINES=(docker-26 docker-28 docker-28-overlay2 docker-28-userns)

# The network namespace of the chosen engine; empty for the machine's own engine.
NETWORK=''

# inside COMMAND ARGUMENT...: where the engine's published ports are.
inside() {
    if [[ -n $NETWORK ]]; then
        nsenter --net="/var/run/netns/$NETWORK" "$@"
    else
        "$@"
    fi
}

# require_engine NAME: ends the script when there is no such engine.
require_engine() {
    [[ " ${ENGINES[*]} " == *" $1 "* ]] || {
        echo "$0: no engine $1; there are: ${ENGINES[*]}" >&2
        exit 2
    }
}

# engine_suite NAME: the Debian release that has it.
engine_suite() {
    case $1 in
    docker-26) echo trixie ;;
    *) echo forky ;;
    esac
}

# daemon_settings NAME: its daemon.json. Docker 29 and Docker Desktop keep images in
# containerd's store by default; Docker 28 does so when it is told to.
daemon_settings() {
    case $1 in
    docker-28) echo '{"features": {"containerd-snapshotter": true}}' ;;
    docker-28-userns) echo '{"userns-remap": "default"}' ;;
    *) echo '{}' ;;
    esac
}

# start_other_engine NAME: and DOCKER_HOST names it.
start_other_engine() {
    local name=$1 root
    ((EUID == 0)) || because "only root can start the engine $name" || return
    need debootstrap:debootstrap ip:iproute2 || return
    root=$KEPT/$(engine_suite "$name")-$(engines_hash)
    make_engine_root "$(engine_suite "$name")" "$root" || return
    make_network "devdb-test-$$" || return
    mkdir "$SCRATCH/run"
    ENGINE_LOG=$SCRATCH/dockerd.log
    echo "starting $name"
    daemon_settings "$name" >"$SCRATCH/daemon.json"
    setsid nsenter --net="/var/run/netns/$NETWORK" unshare --mount --propagation private \
        "$SUPPORT/other-dockerd" "$root" "$SCRATCH" "${MEMORY:-/var/lib/devdb-test-$name}" >"$ENGINE_LOG" 2>&1 </dev/null 8>&- 9>&- &
    ENGINE_PID=$!
    export DOCKER_HOST=unix://$SCRATCH/run/docker.sock
    wait_for_engine
}

# The root file systems are made anew when the function that makes them changes.
engines_hash() {
    declare -f make_engine_root | sha256sum | cut -c1-12
}

# make_engine_root SUITE DIRECTORY: is there whole or not at all. Debian's script for its
# newest release serves all: this machine's debootstrap may be older than the suite.
make_engine_root() {
    local suite=$1 root=$2 mirror
    [[ ! -d $root ]] || return 0
    # shellcheck disable=SC2016 # apt's variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    echo "building the root file system of $suite's engines (two minutes)"
    mkdir -p "$KEPT"
    rm -rf --one-file-system "$KEPT/$suite"-*
    if ! debootstrap --variant=minbase --no-check-gpg \
        --include=docker.io,iptables,ca-certificates,iproute2,procps,uidmap \
        "$suite" "$root.part" "$mirror" /usr/share/debootstrap/scripts/sid >"$SCRATCH/debootstrap.log" 2>&1; then
        tail -n 20 "$SCRATCH/debootstrap.log" >&2
        because "the root file system of $suite cannot be built"
        return
    fi
    rm -rf "$root.part"/var/cache/apt/*
    mv "$root.part" "$root"
}

# make_network NAME
make_network() {
    ip netns add "$1" && NETWORK=$1 && inside ip link set lo up
}

remove_network() {
    [[ -n $NETWORK ]] || return 0
    ip netns delete "$NETWORK"
    NETWORK=''
}
