# shellcheck shell=bash
# Other people's tools, the real ones, for the tests that run them: the migration
# tools dbmate and node-pg-migrate from npm and sqlx-cli from crates.io, and
# check-jsonschema from PyPI, which carries the CI systems' own schemas. They are
# kept between runs in target/peers. Needs packages.sh. These versions run on Debian's
# node.

PEERS_NPM=(dbmate@2.36.0 node-pg-migrate@7.9.1 pg@8.16.3)
SYSTEM_CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
PEERS_SQLX='^0.9'
PEERS_SCHEMAS=check-jsonschema==0.39.0

# install_peers DIR
install_peers() {
    need node:nodejs npm:npm || return
    install_npm_peers "$1" && install_sqlx_cli "$1" && install_schema_checker "$1"
}

# What is named after the versions is written last: the mark that all is there.
install_npm_peers() {
    local mark=$1/npm/${PEERS_NPM[*]} log
    mark=${mark// /+}
    [[ ! -e $mark ]] || return 0
    echo "installing ${PEERS_NPM[*]}"
    log=$(mktemp)
    mkdir -p "$1/npm"
    echo '{ "private": true }' >"$1/npm/package.json"
    # Node trusts a list of its own; behind a proxy only the system's will do.
    if NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$SYSTEM_CERTIFICATES} npm install --prefix "$1/npm" --no-audit --no-fund --ignore-scripts "${PEERS_NPM[@]}" >"$log" 2>&1; then
        : >"$mark"
    else
        tail -n 20 "$log" >&2
        because "npm cannot install ${PEERS_NPM[*]}"
    fi
    rm -f "$log"
    [[ -e $mark ]]
}

# It takes minutes to build, so every clone of the repository uses the same one.
install_sqlx_cli() {
    local kept=$KEPT/sqlx-cli-$PEERS_SQLX
    if [[ ! -x $kept/bin/sqlx ]]; then
        echo "building sqlx-cli"
        cargo install --quiet sqlx-cli --version "$PEERS_SQLX" --locked --no-default-features \
            --features postgres,rustls --root "$kept" || because "cargo cannot install sqlx-cli" || return
    fi
    mkdir -p "$1/bin"
    ln -sfn "$kept/bin/sqlx" "$1/bin/sqlx"
}

# Named after the version once all is there, as npm's are.
install_schema_checker() {
    local place=$1/check-jsonschema mark=$1/check-jsonschema/$PEERS_SCHEMAS log
    [[ ! -e $mark ]] || return 0
    need python3:python3 || return
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || return
    echo "installing $PEERS_SCHEMAS"
    log=$(mktemp)
    if { python3 -m venv --clear "$place" && "$place/bin/pip" install "$PEERS_SCHEMAS"; } >"$log" 2>&1; then
        : >"$mark"
    else
        tail -n 20 "$log" >&2
        because "pip cannot install $PEERS_SCHEMAS"
    fi
    rm -f "$log"
    [[ -e $mark ]]
}
