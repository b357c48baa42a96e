# shellcheck shell=bash
# The images that the tests run. postgres:15 is a stand-in with the official
# image's conventions; the others are variants of it for one test or another.
# Needs rootfs.sh and packages.sh; what is there and up to date is not built again.
# An engine whose data is in memory gets them from a file that an earlier run kept.

TEST_IMAGES=(postgres postgres-sh postgres-slow postgres-init postgres-broken postgres-crash postgres-stranger)
BUILD_LABEL=devdb-test.build
VERSION_LABEL=devdb-test.postgres

# Changes with anything that the images are made of.
images_hash() {
    (cd "$SUPPORT" && find image rootfs.sh -type f -exec sha256sum {} + -perm -100 -print | LC_ALL=C sort) |
        sha256sum | cut -c1-12
}

build_images() {
    local hash name
    hash=$(images_hash)
    images_are_current "$hash" || load_kept_images "$hash"
    if ! images_are_current "$hash"; then
        import_rootfs || return
        for name in "${TEST_IMAGES[@]}"; do
            build_target "$name" "devdb-test/$name:15" "$hash" || because "the image $name cannot be built" || return
        done
        keep_images "$hash"
    fi
    tag_stand_in "$hash"
    remove_outdated_images
}

# is_fleeting: whether this run's engine forgets its images.
is_fleeting() {
    [[ -n $ENGINE_PID && -n ${MEMORY:-} ]]
}

# load_kept_images HASH
load_kept_images() {
    local file=$KEPT/images-$1.tar
    if is_fleeting && [[ -e $file ]]; then
        docker load --quiet --input "$file" >/dev/null || rm -f "$file"
    fi
}

# keep_images HASH: in a file that is whole or not there, in place of older ones.
# Without it the next run only takes longer.
keep_images() {
    local file=$KEPT/images-$1.tar
    is_fleeting || return 0
    mkdir -p "$KEPT"
    rm -f "$KEPT"/images-*
    if docker save --output "$file.part" "devdb-test/rootfs:$(rootfs_hash)" "${TEST_IMAGES[@]/#/devdb-test/}"; then
        mv "$file.part" "$file"
    fi
}

images_are_current() {
    local name
    for name in "${TEST_IMAGES[@]}"; do
        [[ $(image_hash "devdb-test/$name:15") == "$1" ]] || return 1
    done
}

# image_hash IMAGE: what it was built from; empty for one that is not ours.
image_hash() {
    image_label "$1" "$BUILD_LABEL" 2>/dev/null
}

image_label() {
    docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1"
}

import_rootfs() {
    local image dir rc=0
    image=devdb-test/rootfs:$(rootfs_hash)
    if docker image inspect "$image" >/dev/null 2>&1; then
        return
    fi
    need debootstrap:debootstrap || return
    echo "building the root file system of the stand-in postgres:15 (a minute or two)"
    dir=$(mktemp -d "${MEMORY:-/var/tmp}/devdb-test-rootfs.XXXXXX")
    build_rootfs "$dir/root" && tar -C "$dir/root" -c . |
        docker import --change "LABEL $VERSION_LABEL=$(rootfs_version "$dir/root")" - "$image" >/dev/null || rc=1
    rm -rf --one-file-system "$dir"
    ((rc == 0)) || because "the root file system of the stand-in postgres:15 cannot be built"
}

# build_target TARGET TAG HASH
build_target() {
    local rootfs version log rc=0
    rootfs=devdb-test/rootfs:$(rootfs_hash)
    version=$(image_label "$rootfs" "$VERSION_LABEL") || return
    log=$(mktemp)
    # The classic builder is in every engine; the other is a plugin. The modes
    # must not depend on the umask of whoever cloned the repository.
    tar -C "$SUPPORT/image" --owner=0 --group=0 --mode=a+rX,go-w -c . | DOCKER_BUILDKIT=0 docker build --pull=false --force-rm --target "$1" --tag "$2" --label "$BUILD_LABEL=$3" \
        --build-arg ROOTFS="$rootfs" --build-arg PG_VERSION="$version" \
        - >"$log" 2>&1 || rc=1
    ((rc == 0)) || tail -n 20 "$log" >&2
    rm -f "$log"
    return "$rc"
}

# Takes the name postgres:15 when nobody has it, or an older stand-in has.
tag_stand_in() {
    local theirs
    if theirs=$(image_hash postgres:15) && [[ -z $theirs || $theirs == "$1" ]]; then
        return
    fi
    docker tag devdb-test/postgres:15 postgres:15
}

# Outdated ones lost their names to the new ones; a container may still use one.
remove_outdated_images() {
    docker image prune --force --filter "label=$BUILD_LABEL" >/dev/null
    docker image ls --format '{{.Repository}}:{{.Tag}}' devdb-test/rootfs | grep -vxF "devdb-test/rootfs:$(rootfs_hash)" |
        xargs --no-run-if-empty docker image rm >/dev/null 2>&1 || :
}
