# The first process of a private server's container: its life is tied to devdb's connection.
# Standard input: the verifier of the password; then `stop`, or `keep SECONDS`. When it ends, because
# devdb has ended, so does the container, at once or after that time.
# $1: `new` for an empty data directory, `golden` for one that is there; $2: after how many seconds
# without a line it ends, too (0: never); then the image's own entrypoint and command.
# Debian's images have Perl scripts of the same names first, which start ten times slower.
PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH
IFS= read -r verifier || exit 1
origin=$1 silence=$2
shift 2
if [ "$origin" = new ]; then
    # On a tmpfs: nothing of it gets into an image.
    POSTGRES_PASSWORD_FILE=/run/devdb/password
    (umask 077 && printf '%s\n' "$verifier" >"$POSTGRES_PASSWORD_FILE")
    export POSTGRES_PASSWORD_FILE
else
    # Nobody has a password for a golden state.
    {
        until pg_isready -q -h 127.0.0.1; do
            sleep 0.02
        done
        printf 'ALTER ROLE :"name" PASSWORD %s;\n' "'$verifier'" |
            psql -Xq -v ON_ERROR_STOP=1 -v name="$POSTGRES_USER" -U "$POSTGRES_USER" -d postgres
    } &
fi
{
    "$@" </dev/null
    # initdb leaves an unfinished line when it fails.
    printf '\ndevdb: the server ended with code %s\n' "$?"
} &
keep=0 watching=''
if [ "$silence" != 0 ]; then
    trap 'exit 1' USR1
    while sleep "$silence" && [ -e /run/devdb/heard ]; do
        rm -f /run/devdb/heard
    done && kill -USR1 1 &
    watching=$!
fi
while read -r word argument; do
    : >/run/devdb/heard
    case $word in
    stop) kill -INT "$(head -n 1 "$PGDATA/postmaster.pid")" ;;
    keep)
        keep=$argument
        [ -z "$watching" ] || kill "$watching"
        ;;
    esac
done
sleep "$keep"
