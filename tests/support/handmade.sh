#!/usr/bin/env bash
# What people write by hand in devdb's place: a container, a loop that waits
# for it, sqlx-cli for the migrations, psql for the seeds.
#
#   handmade.sh NAME PORT PROJECT      sqlx and psql are on PATH
set -euo pipefail
name=$1 port=$2 project=$3

export PGPASSWORD=bench
url=postgres://postgres:$PGPASSWORD@127.0.0.1:$port/app

docker run --detach --name "$name" --volume "$name:/var/lib/postgresql/data" \
    --publish "127.0.0.1:$port:5432" --env POSTGRES_PASSWORD="$PGPASSWORD" --env POSTGRES_DB=app \
    postgres:15 >/dev/null

# The port answers seconds before the server does, so only a login counts.
until psql "$url" --no-psqlrc -qAtc 'select 1' >/dev/null 2>&1; do
    sleep 0.05
done

sqlx migrate run --source "$project/migrations" --database-url "$url" >/dev/null
cat "$project"/seeds/*.sql | psql "$url" --no-psqlrc -q -v ON_ERROR_STOP=1 --single-transaction
