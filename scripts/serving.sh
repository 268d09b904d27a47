#!/usr/bin/env bash
# What ui.sh and mlflow_server.sh share: their Python, a free port, and MLflow's quiet settings. Sourced, not run.

stop() {  # one line, exit code 2
  echo "$(basename "$0"): $1" >&2
  exit 2
}

find_python() {  # sets `python`: the project's own if it has one, else the PATH's; it must have mlflow
  python="${RLHF_VENV:-$root/.venv}/bin/python"
  [ -x "$python" ] || python="$(command -v python3 || command -v python || true)"
  if [ -z "$python" ] || ! has mlflow; then
    stop "no Python with mlflow found. Install the project (README.md) or activate its environment."
  fi
}

has() {  # has MODULE: whether our Python can import it
  "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)' "$1"
}

free() {  # free HOST PORT
  "$python" -c 'import socket, sys; socket.create_server((sys.argv[1], int(sys.argv[2])))' "$1" "$2" 2>/dev/null
}

choose_port() {  # choose_port HOST PORT: sets `port` to it, or where it is taken to the next free one
  port="$2"
  local tries=0
  until free "$1" "$port" || [ "$tries" -ge 100 ]; do
    port=$((port < 65535 ? port + 1 : 5000)) tries=$((tries + 1)) # after the last port those from 5000 on
  done
}

# One worker and no job consumers: 2 processes instead of 15. Nothing leaves the machine.
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
