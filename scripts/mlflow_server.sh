#!/usr/bin/env bash
# An MLflow tracking server on PostgreSQL, for many jobs and machines at once: bash scripts/mlflow_server.sh --help
set -euo pipefail

usage() {
  cat <<'TEXT'
Starts an MLflow tracking server on PostgreSQL, and says what to export so that rlhf writes to it. Ctrl-C stops it.

  bash scripts/mlflow_server.sh --local-postgres outputs/mlflow
      a private PostgreSQL in that folder, reached by a socket, started and stopped with the server
  RLHF_DATABASE=postgresql://user:password@db/mlflow bash scripts/mlflow_server.sh --artifacts /data/mlflow
      a PostgreSQL that runs already
  MLFLOW_AUTH_ADMIN_PASSWORD=... bash scripts/mlflow_server.sh --local-postgres /data/mlflow --host 0.0.0.0
      open to other machines: everybody needs a name and a password ("admin" has the one given here)

  --local-postgres FOLDER  make or start a private database cluster in FOLDER
  --database URL           postgresql://...; RLHF_DATABASE does the same and is not shown by ps
  --artifacts FOLDER       where plots and tables are kept (default: artifacts in FOLDER, else mlartifacts here)
  --host ADDRESS           address to listen on (default 127.0.0.1: this machine only)
  --port PORT              default 5000, or the next free one
  --allowed-hosts NAMES    names that clients may call this server by, where it is not reached by a private address
TEXT
}

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/serving.sh
source "$root/scripts/serving.sh"
# shellcheck source=scripts/postgres.sh
source "$root/scripts/postgres.sh"

# 1. Options.
database="${RLHF_DATABASE:-}" cluster='' artifacts='' host=127.0.0.1 wanted='' hosts=''
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --local-postgres | --database | --artifacts | --host | --port | --allowed-hosts)
      [ $# -ge 2 ] || stop "$1 needs a value. See --help." ;;&
    --local-postgres) cluster="$2" ;;
    --database) database="$2" ;;
    --artifacts) artifacts="$2" ;;
    --host) host="$2" ;;
    --port) wanted="$2" ;;
    --allowed-hosts) hosts="$2" ;;
    *) stop "unknown option '$1'. See --help." ;;
  esac
  shift 2
done
case "$wanted" in *[!0-9]*) stop "'$wanted' is not a port. Write a number, such as: --port 5001" ;; esac
[ -z "$cluster" ] || [ -z "$database" ] || stop "--local-postgres and a database's address (--database, RLHF_DATABASE) exclude each other."
[ -n "$cluster$database" ] || stop "name a database: --local-postgres FOLDER, or --database postgresql://... See --help."
case "$database" in
  '' | postgresql://* | postgresql+psycopg://*) ;;
  *) stop "the database must be PostgreSQL, postgresql://user@host/name. For a file, scripts/ui.sh is enough." ;;
esac
find_python
has psycopg || stop "psycopg is not installed. Run: $python -m pip install -c $root/constraints.txt 'psycopg[binary]'"

# 2. Who may come in. Without a password only this machine.
app=()
case "$host" in
  127.* | localhost | ::1) ;;
  *)
    [ -n "${MLFLOW_AUTH_ADMIN_PASSWORD:-}" ] \
      || stop "on $host anybody could read and write. Set MLFLOW_AUTH_ADMIN_PASSWORD (12 characters or more), or leave --host out."
    [ ${#MLFLOW_AUTH_ADMIN_PASSWORD} -ge 12 ] || stop "MLFLOW_AUTH_ADMIN_PASSWORD is shorter than 12 characters; MLflow wants more."
    has flask_wtf || stop "MLflow's passwords need Flask-WTF. Run: $python -m pip install -c $root/constraints.txt Flask-WTF"
    app=(--app-name basic-auth) ;;
esac
[ -z "$hosts" ] || app+=(--allowed-hosts "$hosts")

# 3. A port.
choose_port "$host" "${wanted:-5000}"
if [ "$port" != "${wanted:-5000}" ] && [ -n "$wanted" ]; then
  stop "port $wanted is taken, or $host is no address of this machine. Try: --port $port"
fi

# 4. From here on, whatever ends this script stops what it started.
server='' private="$(mktemp -d)"
finish() {
  trap - EXIT
  trap '' INT TERM HUP
  if [ -n "$server" ]; then
    kill -TERM -- "-$server" 2>/dev/null || true
    for _ in {1..50}; do kill -0 -- "-$server" 2>/dev/null || break; sleep 0.1; done
    kill -KILL -- "-$server" 2>/dev/null || true
  fi
  stop_cluster
  rm -rf "$private"
}
trap finish EXIT
trap 'exit 0' INT TERM HUP

# 5. The database, asked once in one line before MLflow asks it in pages.
if [ -n "$cluster" ]; then
  start_cluster "$cluster"
  artifacts="${artifacts:-$cluster/artifacts}"
  shown="PostgreSQL in $cluster"
else
  shown="your PostgreSQL"
fi
artifacts="${artifacts:-$PWD/mlartifacts}"
mkdir -p "$artifacts" || stop "the folder $artifacts cannot be made."
artifacts="$(cd "$artifacts" && pwd)"
export MLFLOW_BACKEND_STORE_URI="$database"
problem="$("$python" - <<'PYTHON'
import os, psycopg
try:
    psycopg.connect(os.environ["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg", "", 1), connect_timeout=10).close()
except psycopg.Error as error:
    print(" ".join(str(error).split()))
PYTHON
)"
[ -z "$problem" ] || stop "the database does not answer: $problem"

# 6. Names and passwords, where asked for: users live in the same database, the file holds its address.
if [ "${#app[@]}" -gt 0 ] && [ "${app[0]}" = --app-name ]; then
  export MLFLOW_AUTH_CONFIG_PATH="$private/auth.ini"
  MLFLOW_FLASK_SERVER_SECRET_KEY="$("$python" -c 'import secrets; print(secrets.token_hex(32))')"
  export MLFLOW_FLASK_SERVER_SECRET_KEY
  (umask 077 && printf '%s\n' '[mlflow]' 'default_permission = READ' "database_uri = ${database//%/%%}" \
    'admin_username = admin' 'authorization_function = mlflow.server.auth:authenticate_request_basic_auth' \
    >"$MLFLOW_AUTH_CONFIG_PATH")
fi

# 7. The server, in a process group of its own so that Ctrl-C reaches us alone and things stop in order.
log="${cluster:+$cluster/mlflow.log}" log="${log:-$private/log}"
tied=() # to our life, where Linux can: else a SIGKILL of this script would leave a server without a database
if command -v setpriv >/dev/null; then tied=(setpriv --pdeathsig TERM --); fi
set -m
"${tied[@]}" "$python" -m mlflow server --host "$host" --port "$port" --workers 1 --uvicorn-opts '--log-level warning' \
  --serve-artifacts --artifacts-destination "$artifacts" --default-artifact-root mlflow-artifacts:/ "${app[@]}" \
  >"$log" 2>&1 </dev/null 9>&- &
server=$!
set +m

# 8. Say how to use it once it answers.
name="$host" ask="$host"
case "$host" in
  0.0.0.0) name="$(hostname -I 2>/dev/null | cut -d ' ' -f 1)" ask=127.0.0.1 ;;
  *:*) name="[$host]" ask="${name/::]/::1]}" ;;
esac
name="${name:-$(hostname)}"
until "$python" -c 'import sys, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=5)' \
  "http://$ask:$port/health" 2>/dev/null; do
  if ! kill -0 "$server" 2>/dev/null; then
    tail -n 20 "$log" >&2
    echo "mlflow_server.sh: MLflow did not start (see above)." >&2
    exit 1
  fi
  sleep 0.3
done
echo "MLflow server: http://$name:$port  ($shown; artifacts in $artifacts)"
echo
echo "export MLFLOW_TRACKING_URI=http://$name:$port"
if [ -n "${MLFLOW_AUTH_CONFIG_PATH:-}" ]; then
  echo "export MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD=...   # or a user made by the admin"
fi
echo
echo "Ctrl-C stops it, from elsewhere: kill $$"
wait "$server" || true
tail -n 20 "$log" >&2
echo "mlflow_server.sh: the server ended by itself (see above)." >&2
exit 1
