#!/usr/bin/env bash
# The MLflow UI on this machine only: bash scripts/ui.sh [port]
# Shows the store in MLFLOW_TRACKING_URI, or mlflow.db of the current folder. Stop it with Ctrl-C.
set -euo pipefail

case "${1:-}" in
  -h | --help)
    echo "Usage: bash scripts/ui.sh [PORT]"
    echo "Shows the store in MLFLOW_TRACKING_URI, or mlflow.db of the current folder. Stop it with Ctrl-C."
    exit 0 ;;
esac
wanted="${1:-5000}"
uri="${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/serving.sh
source "$root/scripts/serving.sh"

[ $# -le 1 ] || stop "it takes one port, got $# words. Write: bash scripts/ui.sh 5001"
case "$wanted" in
  '' | *[!0-9]*) stop "'$wanted' is not a port. Write a number, such as: bash scripts/ui.sh 5001" ;;
esac
if [ "${#wanted}" -gt 5 ] || [ "$wanted" -lt 1 ] || [ "$wanted" -gt 65535 ]; then
  stop "there is no port $wanted, they are 1 to 65535. Write one of them, such as: bash scripts/ui.sh 5001"
fi
wanted=$((10#$wanted)) # the shell would count 0800 in eights

# 1. An MLflow server has a UI already; a database file must exist, or an empty one would be made and shown.
case "$uri" in
  http://* | https://*) stop "MLFLOW_TRACKING_URI is a server; open its address in a browser." ;;
  sqlite:///*)
    file="${uri#sqlite:///}"
    if [ ! -f "$file" ]; then
      stop "there is no database $file in $PWD yet. Run something that tracks (rlhf train), or set MLFLOW_TRACKING_URI."
    fi ;;
esac
find_python

# 2. A port that is taken is told; where none was named, the next free one is used.
choose_port 127.0.0.1 "$wanted"
if [ "$port" != "$wanted" ]; then
  [ $# -eq 0 ] || stop "port $wanted is taken. Write another: bash scripts/ui.sh $port"
  echo "port $wanted is taken: in the addresses that rlhf printed, write $port"
fi

# 3. The store's address may hold a password: it goes by the environment, which `ps` doesn't show to others.
echo "MLflow UI: http://127.0.0.1:$port (Ctrl-C stops it)"
export MLFLOW_BACKEND_STORE_URI="$uri"
exec "$python" -m mlflow server --host 127.0.0.1 --port "$port" --workers 1
