#!/usr/bin/env bash
# What people write by hand in devdb's place where there is no container engine:
# away with the old cluster, initdb, a server, sqlx-cli, psql.
#
#   handmade-native.sh DATA PORT PROJECT      sqlx and psql are on PATH
#   handmade-native.sh stop DATA
#   handmade-native.sh status DATA
set -euo pipefail
bin=/usr/lib/postgresql/15/bin
[[ -x $bin/initdb ]] || bin=$(dirname "$(command -v initdb)")
cd /

# The server does not run as root.
as_server() {
    if ((EUID == 0)); then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

if [[ $1 == stop ]]; then
    as_server "$bin/pg_ctl" -D "$2" -m fast stop
    exit
fi
if [[ $1 == status ]]; then
    as_server "$bin/pg_ctl" -D "$2" status
    exit
fi

data=$1 port=$2 project=$3
url=postgres://postgres@127.0.0.1:$port/app

if [[ -d $data ]]; then
    as_server "$bin/pg_ctl" -D "$data" -m fast stop >/dev/null
    rm -rf "$data"
fi
as_server "$bin/initdb" -D "$data" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
as_server "$bin/pg_ctl" -D "$data" -l "$data/log" -o "-p $port -c listen_addresses=127.0.0.1 -k $data" start >/dev/null
"$bin/createdb" --host=127.0.0.1 --port="$port" --username=postgres app

sqlx migrate run --source "$project/migrations" --database-url "$url" >/dev/null
cat "$project"/seeds/*.sql | psql "$url" --no-psqlrc -q -v ON_ERROR_STOP=1 --single-transaction
