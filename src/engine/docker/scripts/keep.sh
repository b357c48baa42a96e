
# Finishes a generation: writes the mark of a complete one, the third argument, last.
printf '%s' "$3" | write_whole /to/complete
sync_to "$2"
