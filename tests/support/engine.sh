# shellcheck shell=bash
# A container engine: the one that answers, else a dockerd of our own that is
# stopped at the end. Needs packages.sh, and SCRATCH for its log.

ENGINE_PID=''
ENGINE_LOG=''

# Two test runs on one machine share the engine that the first one started:
# each holds a shared lock, and who stops the engine must be the last.
ENGINE_LOCK=${TMPDIR:-/tmp}/devdb-test-engine.$UID

start_engine() {
    exec 8>"$ENGINE_LOCK.use"
    flock --shared 8
    find_or_start_engine && export_docker_host
}

# with_setup_lock COMMAND...: one run at a time starts an engine or builds images.
with_setup_lock() {
    local rc=0
    exec 9>"$ENGINE_LOCK.setup"
    flock 9
    "$@" || rc=1
    exec 9>&-
    return "$rc"
}

find_or_start_engine() {
    if engine_answers; then
        return
    fi
    if [[ -n ${DOCKER_HOST:-} ]]; then
        because "no engine answers at DOCKER_HOST=$DOCKER_HOST"
        return
    fi
    need docker:docker.io dockerd:docker.io || return
    # Where there is systemd, installing the package has started it.
    engine_answers || start_dockerd
}

engine_answers() {
    command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

start_dockerd() {
    if ((EUID != 0)); then
        because "no engine answers, and only root can start dockerd"
        return
    fi
    ENGINE_LOG=$SCRATCH/dockerd.log
    forget_stale_pid /var/run/docker.pid dockerd
    forget_stale_pid /var/run/docker/containerd/containerd.pid containerd
    echo "starting dockerd"
    # A session of its own: Ctrl-C in the terminal must not stop it before the
    # tests have cleaned up. The locks are ours, not its.
    setsid dockerd --data-root "$(engine_data_root)" >"$ENGINE_LOG" 2>&1 </dev/null 8>&- 9>&- &
    ENGINE_PID=$!
    wait_for_engine
}

# forget_stale_pid FILE NAME: a pid file left by a crash or a reboot may name a
# process that is something else by now, and dockerd would then not start.
forget_stale_pid() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    if [[ $(cat "/proc/$pid/comm" 2>/dev/null) != "$2" ]]; then
        rm -f "$1"
    fi
}

# A daemon starts the containers that were running when it stopped. Where there
# are any they are somebody's, so ours keeps to a directory of its own.
engine_data_root() {
    if [[ -n ${MEMORY:-} ]]; then
        echo "$MEMORY/docker"
    elif compgen -G '/var/lib/docker/containers/*' >/dev/null; then
        echo /var/lib/devdb-test-docker
    else
        echo /var/lib/docker
    fi
}

wait_for_engine() {
    local deadline=$((SECONDS + 60))
    until engine_answers; do
        if ! kill -0 "$ENGINE_PID" 2>/dev/null; then
            engine_failed "dockerd ended"
            return
        elif ((SECONDS > deadline)); then
            engine_failed "dockerd did not answer within 60 s"
            return
        fi
        sleep 0.2
    done
}

engine_failed() {
    tail -n 20 "$ENGINE_LOG" >&2
    because "$1; the end of its log is above"
}

# The tests run with a cleared environment and HOME, where a Docker context
# would be lost; the address of its engine would not.
export_docker_host() {
    local host
    host=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || return 0
    if [[ -n $host && $host != unix:///var/run/docker.sock ]]; then
        export DOCKER_HOST=$host
    fi
}

stop_engine() {
    [[ -n $ENGINE_PID ]] || return 0
    if [[ -n ${NETWORK:-} ]] || flock --nonblock 8; then
        kill "$ENGINE_PID" 2>/dev/null || :
        wait "$ENGINE_PID" || :
    else
        echo "another test run still uses the dockerd that this one started: it is left running"
    fi
    ENGINE_PID=''
}
