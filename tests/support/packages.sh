# shellcheck shell=bash
# Programs that the tests need, from Debian's packages when they are missing.

# What takes long to make and is the same for every clone of the repository.
KEPT=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/devdb-tests

# Why the last step did not work; what a SKIPPED line says.
WHY=''

because() {
    WHY=$1
    return 1
}

# need COMMAND:PACKAGE...: installs the packages of the commands that are missing.
need() {
    local pair missing=()
    for pair; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

install_packages() {
    local log
    if ! command -v apt-get >/dev/null || ((EUID != 0)); then
        because "not installed, and only root on Debian can install it here: $*"
        return
    fi
    echo "installing $*"
    log=$(mktemp)
    if ! { apt_get update && apt_get install --yes --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        because "apt-get cannot install $*"
    fi
    rm -f "$log"
    [[ -z $WHY ]]
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

has_server_programs() {
    [[ -x /usr/lib/postgresql/15/bin/initdb ]] || [[ $(initdb --version 2>/dev/null) == *' 15.'* ]]
}

# Debian's server package makes a cluster on port 5432 and starts it, unless
# told not to beforehand; only its programs are wanted.
install_postgres_programs() {
    local dir=/etc/postgresql-common/createcluster.d
    if ((EUID == 0)) && [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
        mkdir -p "$dir"
        echo 'create_main_cluster = false' >"$dir/devdb-tests.conf"
    fi
    install_packages postgresql-15
}
