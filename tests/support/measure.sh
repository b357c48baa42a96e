# shellcheck shell=bash
# Wall times of commands, their medians and ratios. Each kind of run has a name;
# runs of the kinds that are compared take turns, so that a busy minute of the
# machine hits all of them. Needs SCRATCH.

comparisons=()
MISSED=0

# timed NAME COMMAND...: runs it and notes its milliseconds under NAME.
timed() {
    local name=$1 from to
    shift
    from=${EPOCHREALTIME/./}
    "$@" >"$SCRATCH/output" 2>&1 || {
        cat "$SCRATCH/output" >&2
        echo "bench: failed: $*" >&2
        return 1
    }
    to=${EPOCHREALTIME/./}
    awk -v us=$((to - from)) 'BEGIN { printf "%.1f\n", us / 1000 }' >>"$SCRATCH/$name.ms"
}

median() {
    sort -n "$SCRATCH/$1.ms" | awk '{ v[NR] = $1 } END { h = int((NR + 1) / 2); print NR % 2 ? v[h] : (v[h] + v[h + 1]) / 2 }'
}

# compare NAME PEER LIMIT: a line of the table; notes the same for the JSON.
compare() {
    local ours theirs ratio verdict
    ours=$(median "$1")
    theirs=$(median "$2")
    read -r ratio verdict < <(awk -v a="$ours" -v b="$theirs" -v l="$3" 'BEGIN { printf "%.2f %s\n", a / b, a / b <= l ? "yes" : "NO" }')
    printf '%-30s %9.0f   %-24s %9.0f   %5s   %6s   %s\n' "$1" "$ours" "$2" "$theirs" "$ratio" "$3" "$verdict"
    comparisons+=("$(printf '{"what": "%s", "against": "%s", "ratio": %s, "accepted_up_to": %s}' "$1" "$2" "$ratio" "$3")")
    # shellcheck disable=SC2034 # tests/bench ends with it
    [[ $verdict == yes ]] || MISSED=1
}

table_header() {
    printf '%-30s %9s   %-24s %9s   %5s   %6s   %s\n' what 'median ms' against 'median ms' ratio 'up to' met
}

# All runs, so that the spread can be seen, and what was compared.
as_json() {
    local file name sep=''
    printf '{\n  "unit": "ms",\n  "runs": {'
    for file in "$SCRATCH"/*.ms; do
        name=$(basename "$file" .ms)
        printf '%s\n    "%s": {"median": %s, "all": [%s]}' "$sep" "$name" "$(median "$name")" "$(paste -sd, "$file")"
        sep=,
    done
    printf '\n  },\n  "comparisons": [\n'
    printf '%s\n' "${comparisons[@]}" | sed 's/^/    /; $!s/$/,/'
    printf '  ]\n}\n'
}
