# The health check of a database that stops when nobody uses it. $1: after how many checks in a row
# without a client it stops the server.
# It has no password and opens no session of its own: it looks at the names of the processes, which
# show each session, and at the kernel's count of connections, which shows those that came and went
# between two checks.
PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH
# A memory file system. It is empty after each start of the container.
noted=/dev/shm/devdb-idle

accepted() {
    while read -r name _ _ _ _ _ passive _; do
        case $name$passive in
        Tcp:*[!0-9]*) ;;
        Tcp:?*) printf '%s' "$passive" ;;
        esac
    done </proc/net/snmp
}

has_session() {
    cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' |
        grep -q '^postgres: .*\(([0-9][0-9]*)\|\[local\]\)'
}

now=$(accepted 2>/dev/null)
expected='' quiet=0
read -r quiet expected 2>/dev/null <"$noted"
# Before the check's own connection: on a busy machine the server has not ended it afterwards.
if has_session; then is_used=1; else is_used=0; fi
PGDATABASE="$POSTGRES_DB" pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" || exit
if [ "$is_used" = 1 ] || [ "$now" != "$expected" ]; then
    quiet=0
else
    quiet=$((quiet + 1))
fi
# This check has made one connection itself.
[ -z "$now" ] || now=$((now + 1))
printf '%s %s\n' "$quiet" "$now" >"$noted"
[ "$quiet" -lt "$1" ] || kill -INT "$(head -n 1 "$PGDATA/postmaster.pid")"
