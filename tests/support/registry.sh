# shellcheck shell=bash
# A registry on 127.0.0.1 for the pull tests. It holds devdb-test/pull:15, a
# working image with three layers that are nowhere else on this machine.
# Needs packages.sh, images.sh and SCRATCH. Its data is kept between runs, so
# that only the first one uploads it; what other images left there goes.

REGISTRY_PID=''
REGISTRY=''

start_registry() {
    local data=$1 log=$SCRATCH/registry.log
    need docker-registry:docker-registry || return
    is_published "$data" || rm -rf "$data"
    : >"$log"
    registry_config "$data" >"$SCRATCH/registry.yml"
    inside setsid docker-registry serve "$SCRATCH/registry.yml" >"$log" 2>&1 </dev/null 8>&- &
    REGISTRY_PID=$!
    registry_address "$log" || return
    publish_pull_image "$data"
}

registry_config() {
    cat <<EOC
version: 0.1
log: { accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: "$1" }, delete: { enabled: true } }
http: { addr: "127.0.0.1:0" }
EOC
}

# The kernel chooses the port; the log says which.
registry_address() {
    local deadline=$((SECONDS + 10))
    until REGISTRY=$(grep -om1 'listening on 127\.0\.0\.1:[0-9]*' "$1"); do
        if ! kill -0 "$REGISTRY_PID" 2>/dev/null || ((SECONDS > deadline)); then
            tail -n 5 "$1" >&2
            because "docker-registry did not start"
            return
        fi
        sleep 0.1
    done
    REGISTRY=${REGISTRY##* }
}

# The upload of the second tag, named after what the image is made of, is the
# mark that the first is complete.
is_published() {
    [[ -e $1/docker/registry/v2/repositories/devdb-test/pull/_manifests/tags/$(images_hash) ]]
}

publish_pull_image() {
    local hash image=$REGISTRY/devdb-test/pull
    if is_published "$1"; then
        return
    fi
    hash=$(images_hash)
    echo "uploading an image to the registry"
    if ! { build_target postgres-pull "$image:15" "$hash" && docker tag "$image:15" "$image:$hash" &&
        docker push --quiet "$image:15" && docker push --quiet "$image:$hash"; } >/dev/null; then
        because "the registry did not take the image"
        return
    fi
    forget_pulled_images
}

# What was pulled is of no use once the registry is gone, and a layer that is
# already here would not be pulled.
forget_pulled_images() {
    local images
    mapfile -t images < <(docker image ls --format '{{.Repository}}:{{.Tag}}' "$REGISTRY/*/*")
    ((${#images[@]} == 0)) || docker image rm "${images[@]}" >/dev/null
}

stop_registry() {
    [[ -n $REGISTRY_PID ]] || return 0
    forget_pulled_images || :
    kill "$REGISTRY_PID" 2>/dev/null || :
    wait "$REGISTRY_PID" || :
    REGISTRY_PID=''
}
