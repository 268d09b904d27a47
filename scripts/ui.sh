#!/usr/bin/env bash
# The MLflow UI on this machine only: bash scripts/ui.sh [port]
# Shows the store in MLFLOW_TRACKING_URI, or mlflow.db of the current folder. Stop it with Ctrl-C.
set -euo pipefail

port="${1:-5000}"
uri="${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

case "$port" in
  '' | *[!0-9]*) echo "ui.sh: '$port' is not a port. Write a number, such as: bash scripts/ui.sh 5001" >&2; exit 2 ;;
esac
if [ "${#port}" -gt 5 ] || [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
  echo "ui.sh: there is no port $port, they are 1 to 65535. Write one of them, such as: bash scripts/ui.sh 5001" >&2
  exit 2
fi
port=$((10#$port)) # the shell would count 0800 in eights

# 1. An MLflow server has a UI already; a database file must exist, or an empty one would be made and shown.
case "$uri" in
  http://* | https://*) echo "ui.sh: MLFLOW_TRACKING_URI is a server; open its address in a browser." >&2; exit 2 ;;
  sqlite:///*)
    file="${uri#sqlite:///}"
    if [ ! -f "$file" ]; then
      echo "ui.sh: there is no database $file in $PWD yet. Run something that tracks (rlhf), or set MLFLOW_TRACKING_URI." >&2
      exit 2
    fi ;;
esac

# 2. The project's own Python if it has one, else the PATH's.
python="${RLHF_VENV:-$root/.venv}/bin/python"
[ -x "$python" ] || python="$(command -v python3 || command -v python || true)"
if [ -z "$python" ] || ! "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("mlflow") is None)'; then
  echo "ui.sh: no Python with mlflow found. Install the project (README.md) or activate its environment." >&2
  exit 2
fi

# 3. A port that is taken is told; where none was named, the next free one is used.
free() { "$python" -c 'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1])))' "$1" 2>/dev/null; }
if ! free "$port"; then
  taken="$port" tries=0
  until free "$port" || [ "$tries" -ge 100 ]; do
    port=$((port < 65535 ? port + 1 : 5000)) tries=$((tries + 1))  # after the last port those from 5000 on
  done
  if [ $# -gt 0 ]; then
    echo "ui.sh: port $taken is taken. Write another: bash scripts/ui.sh $port" >&2
    exit 2
  fi
  echo "port $taken is taken: in the addresses that rlhf printed, write $port"
fi

# 4. One worker and no job consumers: 2 processes instead of 15. Nothing leaves the machine.
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
echo "MLflow UI: http://127.0.0.1:$port (Ctrl-C stops it)"
exec "$python" -m mlflow server --backend-store-uri "$uri" --host 127.0.0.1 --port "$port" --workers 1
