# shellcheck shell=bash
# Projects whose migrations are another tool's: a reset that hits never runs it.

HOME=$PERSONS_HOME install_npm_peers "$PEERS" || skip "$WHY"

# tool_project NAME UP DOWN COMMAND...: the usual project, its migrations with
# the headings of that tool.
tool_project() {
    local project file
    project=$(new_project "$1" docker)
    for file in "$project"/migrations/*.sql; do
        printf '%s\n%s\n%s\n' "$2" "$(<"$file")" "$3" >"$file.new"
        mv "$file.new" "$file"
    done
    printf 'migrations:\n  command: [%s]\n  inputs: ["migrations/**"]\n' "$4" >>"$project/devdb.yaml"
    echo "$project"
}

node_modules=$PEERS/npm/node_modules
sqlx=$(new_project tool-sqlx docker)
# Go's driver wants TLS unless told otherwise.
dbmate=$(tool_project tool-dbmate '-- migrate:up' '-- migrate:down' \
    "env, PGSSLMODE=disable, $node_modules/@dbmate/linux-x64/bin/dbmate, --migrations-dir, migrations, --no-dump-schema, up")
node=$(tool_project tool-node '-- Up Migration' '-- Down Migration' \
    "$node_modules/.bin/node-pg-migrate, up, --migrations-dir, migrations")
cli=$(tool_project tool-sqlx-cli '' '' "$PEERS/bin/sqlx, migrate, run, --source, migrations")
for project in "$sqlx" "$dbmate" "$node" "$cli"; do
    run_quietly devdb_in "$project" up
    run_quietly devdb_in "$project" reset
done
for ((i = 0; i < RUNS; i++)); do
    timed_reset 'reset, sqlx migrations' "$sqlx"
    timed_reset 'reset, dbmate' "$dbmate"
    timed_reset 'reset, node-pg-migrate' "$node"
    timed_reset 'reset, sqlx-cli' "$cli"
done
compare 'reset, dbmate' 'reset, sqlx migrations' 1.3
compare 'reset, node-pg-migrate' 'reset, sqlx migrations' 1.3
compare 'reset, sqlx-cli' 'reset, sqlx migrations' 1.3
