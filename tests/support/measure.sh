# shellcheck shell=bash
# Wall times of commands, their medians and ratios. Each kind of run has a name;
# runs of the kinds that are compared take turns, so that a busy minute of the
# machine hits all of them. Needs RESULTS, a directory, and TOPIC.

# timed NAME COMMAND...: runs it and notes its milliseconds under NAME.
timed() {
    local name=$1 from
    shift
    from=$(now_us)
    run_quietly "$@" || return
    note "$name" $(($(now_us) - from))
}

# run_quietly COMMAND...: shows what it said only when it fails.
run_quietly() {
    local log=$SCRATCH/output.$BASHPID
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        echo "bench: failed: $*" >&2
        return 1
    fi
}

now_us() {
    echo "${EPOCHREALTIME/[.,]/}"
}

# note NAME MICROSECONDS
note() {
    mkdir -p "$RESULTS/$TOPIC"
    awk -v us="$2" 'BEGIN { printf "%.1f\n", us / 1000 }' >>"$RESULTS/$TOPIC/$1.ms"
}

# Between runs whose figure must not include what the one before left to be
# written to the disk.
pause() {
    sleep "${BENCH_PAUSE:-5}"
}

# median FILE
median() {
    sort -n "$1" | awk '{ v[NR] = $1 } END { h = int((NR + 1) / 2); print NR % 2 ? v[h] : (v[h] + v[h + 1]) / 2 }'
}

# compare NAME PEER [LIMIT]: a line of the table, of the JSON and of the Markdown.
# Without a limit it is there to be read; nothing is promised.
compare() {
    local ours theirs ratio verdict limit=${3:-}
    ours=$(median "$RESULTS/$TOPIC/$1.ms")
    theirs=$(median "$RESULTS/$TOPIC/$2.ms")
    read -r ratio verdict < <(awk -v a="$ours" -v b="$theirs" -v l="${limit:-inf}" \
        'BEGIN { printf "%.2f %s\n", a / b, l == "inf" ? "-" : a / b <= l + 0 ? "yes" : "NO" }')
    printf '%-36s %7.0f   %-36s %7.0f   %5s   %5s   %s\n' "$1" "$ours" "$2" "$theirs" "$ratio" "${limit:--}" "$verdict"
    printf '{"topic": "%s", "what": "%s", "against": "%s", "ratio": %s, "accepted_up_to": %s, "met": %s}\n' \
        "$TOPIC" "$1" "$2" "$ratio" "${limit:-null}" "$(as_boolean "$verdict")" >>"$RESULTS/comparisons"
    printf '| %s | %s | %s | %s | %s |\n' "$1" "$(as_seconds "$ours")" "$2" "$(as_seconds "$theirs")" "$ratio" >>"$RESULTS/rows"
    wc -l "$RESULTS/$TOPIC/$1.ms" "$RESULTS/$TOPIC/$2.ms" | sed '$d' >>"$RESULTS/counts"
}

# as_seconds MILLISECONDS
as_seconds() {
    awk -v ms="$1" 'BEGIN { printf "%.2f s\n", ms / 1000 }'
}

as_boolean() {
    case $1 in
    yes) echo true ;;
    NO) echo false ;;
    *) echo null ;;
    esac
}

# skip WHY: ends the topic, and says so in the table and the JSON.
skip() {
    printf 'SKIPPED: %s: %s\n' "$TOPIC" "$1"
    echo "$TOPIC" >>"$RESULTS/skipped"
    exit 0
}

table_header() {
    printf '%-36s %7s   %-36s %7s   %5s   %5s   %s\n' what 'ms' against 'ms' ratio 'up to' met
}

# Nothing failed and every promise was kept. A skipped topic promises nothing,
# except where CI has to see it.
all_met() {
    [[ ! -s $RESULTS/failed ]] && ! grep -q '"met": false' "$RESULTS/comparisons" &&
        [[ -z ${CI:-} || ! -s $RESULTS/skipped ]]
}

# All runs, so that the spread can be seen, and what was compared.
as_json() {
    touch "$RESULTS"/{comparisons,failed,skipped}
    printf '{\n  "unit": "ms",\n  "cores": %s,\n  "failed": %s,\n  "skipped": %s,\n' \
        "$(nproc)" "$(json_strings "$RESULTS/failed")" "$(json_strings "$RESULTS/skipped")"
    printf '  "runs": [\n'
    json_runs | json_lines
    printf '  ],\n  "comparisons": [\n'
    json_lines <"$RESULTS/comparisons"
    printf '  ]\n}\n'
}

json_runs() {
    local file
    for file in "$RESULTS"/*/*.ms; do
        [[ -e $file ]] || continue
        printf '{"topic": "%s", "what": "%s", "median": %s, "all": [%s]}\n' \
            "$(basename "$(dirname "$file")")" "$(basename "$file" .ms)" "$(median "$file")" "$(paste -sd, "$file")"
    done
}

json_lines() {
    sed 's/^/    /; $!s/$/,/'
}

json_strings() {
    printf '[%s]' "$(sed 's/.*/"&"/' "$1" | paste -sd,)"
}

# What was compared, for the README.
as_markdown() {
    touch "$RESULTS"/{rows,counts}
    printf '| | takes | against | takes | ratio |\n| --- | --- | --- | --- | --- |\n'
    cat "$RESULTS/rows"
    printf '\nMedians of %s runs on %s cores, %s.\n' "$(number_of_runs)" "$(nproc)" "$(date +%F)"
}

# number_of_runs: behind each of the figures, or the fewest and the most.
number_of_runs() {
    sort -n "$RESULTS/counts" |
        awk 'NR == 1 { least = $1 } END { print least == $1 ? $1 : least " to " $1 }'
}
