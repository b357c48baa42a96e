#!/usr/bin/env bash
# The conventions of the official postgres image, step by step in its order.
# Only what both bash and a plain POSIX sh understand, so that the variant
# without bash runs the same lines.
set -e

# file_env VAR [DEFAULT]: VAR, else the contents of the file VAR_FILE names.
file_env() {
    eval "value=\${$1:-} file=\${${1}_FILE:-}"
    if [ -n "$value" ] && [ -n "$file" ]; then
        printf >&2 'error: both %s and %s are set (but are exclusive)\n' "$1" "${1}_FILE"
        exit 1
    fi
    if [ -n "$file" ]; then
        value=$(cat "$file")
    fi
    value=${value:-${2:-}}
    export "$1=$value"
    unset "${1}_FILE" value file
}

docker_setup_env() {
    file_env POSTGRES_PASSWORD
    file_env POSTGRES_USER postgres
    file_env POSTGRES_DB "$POSTGRES_USER"
    file_env POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
    : "${DATABASE_ALREADY_EXISTS:=}"
    if [ -s "$PGDATA/PG_VERSION" ]; then
        DATABASE_ALREADY_EXISTS=true
    fi
}

# Touches only files with the wrong owner, as the official one does.
docker_create_db_directories() {
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 03775 /var/run/postgresql || :
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        own_as_postgres "$POSTGRES_INITDB_WALDIR"
        chmod 700 "$POSTGRES_INITDB_WALDIR"
    fi
    own_as_postgres "$PGDATA"
    own_as_postgres /var/run/postgresql
}

own_as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        find "$1" ! -user postgres -exec chown postgres '{}' +
    fi
}

docker_verify_minimum_env() {
    if [ "${#POSTGRES_PASSWORD}" -ge 100 ]; then
        echo >&2 'WARNING: The supplied POSTGRES_PASSWORD is 100+ characters.'
    fi
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        cat >&2 <<'EOE'
Error: Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run".
EOE
        exit 1
    fi
    if [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then
        echo >&2 'WARNING: POSTGRES_HOST_AUTH_METHOD has been set to "trust".'
    fi
}

docker_init_database_dir() {
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        set -- --waldir "$POSTGRES_INITDB_WALDIR" "$@"
    fi
    # initdb refuses an empty password file, hence the newline; the arguments
    # are split by the shell, as POSTGRES_INITDB_ARGS is documented.
    printf '%s\n' "$POSTGRES_PASSWORD" |
        eval 'initdb --username="$POSTGRES_USER" --pwfile=/dev/stdin '"$POSTGRES_INITDB_ARGS"' "$@"'
}

pg_setup_hba_conf() {
    if [ "$1" = postgres ]; then
        shift
    fi
    : "${POSTGRES_HOST_AUTH_METHOD:=$(postgres -C password_encryption "$@")}"
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
}

# On the unix socket only, so that nobody can log in before the scripts ran.
docker_temp_server_start() {
    if [ "$1" = postgres ]; then
        shift
    fi
    set -- "$@" -c listen_addresses= -p "${PGPORT:-5432}"
    PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "$(quoted "$@")" -w start
}

# quoted ARG...: the arguments as one line that a shell reads back.
quoted() {
    for arg; do
        printf "'%s' " "$(printf '%s\n' "$arg" | sed "s/'/'\\\\''/g")"
    done
}

docker_temp_server_stop() {
    PGUSER="${PGUSER:-postgres}" pg_ctl -D "$PGDATA" -m fast -w stop
}

docker_process_sql() {
    if [ -n "$POSTGRES_DB" ]; then
        set -- --dbname "$POSTGRES_DB" "$@"
    fi
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"
}

docker_setup_db() {
    db=$POSTGRES_DB
    exists=$(
        POSTGRES_DB='' docker_process_sql --dbname postgres --set db="$db" --tuples-only <<'EOSQL'
SELECT 1 FROM pg_database WHERE datname = :'db' ;
EOSQL
    )
    if [ -z "$exists" ]; then
        POSTGRES_DB='' docker_process_sql --dbname postgres --set db="$db" <<'EOSQL'
CREATE DATABASE :"db" ;
EOSQL
    fi
}

docker_process_init_files() {
    for f; do
        case "$f" in
            *.sh)
                if [ -x "$f" ]; then
                    printf '%s: running %s\n' "$0" "$f"
                    "$f"
                else
                    printf '%s: sourcing %s\n' "$0" "$f"
                    # shellcheck disable=SC1090
                    . "$f"
                fi
                ;;
            *.sql) printf '%s: running %s\n' "$0" "$f"; docker_process_sql -f "$f" ;;
            *.sql.gz) printf '%s: running %s\n' "$0" "$f"; gunzip -c "$f" | docker_process_sql ;;
            *) printf '%s: ignoring %s\n' "$0" "$f" ;;
        esac
        printf '\n'
    done
}

# Options with which the server prints something and ends.
pg_wants_help() {
    for arg; do
        case "$arg" in
            -'?' | --help | --describe-config | -V | --version) return 0 ;;
        esac
    done
    return 1
}

case "$1" in
    -*) set -- postgres "$@" ;;
esac

if [ "$1" = postgres ] && ! pg_wants_help "$@"; then
    docker_setup_env
    docker_create_db_directories
    if [ "$(id -u)" = 0 ]; then
        exec gosu postgres "$0" "$@"
    fi
    if [ -z "$DATABASE_ALREADY_EXISTS" ]; then
        docker_verify_minimum_env
        # Fail before initdb when the scripts cannot be read.
        ls /docker-entrypoint-initdb.d/ >/dev/null
        docker_init_database_dir
        pg_setup_hba_conf "$@"
        export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
        docker_temp_server_start "$@"
        docker_setup_db
        docker_process_init_files /docker-entrypoint-initdb.d/*
        docker_temp_server_stop
        unset PGPASSWORD
        printf '\nPostgreSQL init process complete; ready for start up.\n\n'
    else
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    fi
fi

exec "$@"
