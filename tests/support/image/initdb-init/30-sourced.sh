# shellcheck shell=sh
# Not executable, so the entrypoint sources it and its functions are there.
docker_process_sql -c "INSERT INTO init_runs (script) VALUES ('30-sourced.sh')"
