# shellcheck shell=bash
# A snapshot of 450 MB, saved while a client writes, and restored, against DSLR on
# the same image.

install_dslr || skip "$WHY"
project=$(new_project snapshot docker)
port=$(free_port)
run_quietly devdb_in "$project" up
run_quietly handmade "$port" "$project"
measure_snapshots "$project" "$port"
