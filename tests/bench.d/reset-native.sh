# shellcheck shell=bash
# `reset` without containers when the state is cached, against initdb and
# everything after it by hand.

has_server_programs || install_postgres_programs || skip "$WHY"

small=$(new_project native native)
large=$(new_large_project native-1000 native)
data=$(native_directory)/data
port=$(free_port)
measure_native_resets "$small" "$large" "$data" "$port"
compare 'native reset, 4 migrations' 'native script, 4 migrations' 0.5
compare 'native reset, 1000 migrations' 'native script, 1000 migrations' 0.5
compare 'native reset, 1000 migrations' 'native reset, 4 migrations'
