
# Finishes a snapshot: prints the copy's size in kB, and reads the manifest.
kilobytes "$to"
lines | write_whole /to/snapshot.json
sync_to "$2"
