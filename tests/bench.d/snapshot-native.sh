# shellcheck shell=bash
# The same without containers.

has_server_programs || install_postgres_programs || skip "$WHY"
install_dslr || skip "$WHY"
project=$(new_project snapshot-native native)
port=$(free_port)
run_quietly devdb_in "$project" up
run_quietly handmade_native "$(native_directory)/data" "$port" "$project"
measure_snapshots "$project" "$port" 'native '
