#!/bin/sh
psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    -c "INSERT INTO init_runs (script) VALUES ('20-executed.sh')"
