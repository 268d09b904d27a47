#!/usr/bin/env bash
# Makes the virtual environment and installs this checkout in it, once: bash scripts/install.sh. Also sourced by
# quickstart.sh and test.sh, with `root` (the checkout) and `venv` (the environment's folder); sets `python`.

stop() {  # one line, exit code 2
  echo "$(basename "$0"): $1" >&2
  exit 2
}

usage() {  # usage TEXT WORD...: for -h or --help prints the text and ends well; refuses other flags as a first word
  case "${2:-}" in
    -h | --help) echo "$1"; exit 0 ;;
    -*) stop "there is no flag $2. ${1%%$'\n'*}" ;;
  esac
}

newest_python() {  # prints the first interpreter on the PATH that is 3.11 or newer
  local name
  for name in python3 python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  command -v python3 >/dev/null || stop "there is no python3 on the PATH. Install Python 3.11 or newer."
  stop "$(python3 --version 2>&1) is too old. Install Python 3.11 or newer, or activate an environment that has it."
}

make_venv() {
  local base
  base="$(newest_python)" || exit 2
  echo "making the virtual environment $venv"
  if command -v uv >/dev/null; then
    uv venv --quiet --seed --allow-existing --python "$base" "$venv" || stop "uv could not make $venv (see above)."
  elif "$base" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    "$base" -m venv "$venv" || stop "$base could not make $venv (see above). Check that the folder can be written to."
  else
    stop "$base has no venv module. Install it (Debian: apt-get install python3-venv) or put uv on the PATH."
  fi
}

enough_disk() {  # room for torch and the rest: 2.4 GB with a CPU build of torch, more with a CUDA build
  local free
  free="$(df -Pk "$venv" | awk 'NR == 2 {print $4}')"
  [ "$free" -ge 3000000 ] || stop "only $((free / 1000)) MB are free at $venv and 3000 are needed. Free some, or set RLHF_VENV=FOLDER."
}

install_project() {  # install_project EXTRA: quantization (to use it) or dev (to work on it)
  local extra="$1" stamp mark
  python="$venv/bin/python"
  [ -x "$python" ] || make_venv
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || stop "$venv holds no working Python 3.11 or newer. Remove it, or set RLHF_VENV=FOLDER."

  # 1. Nothing to do when the last installation was of the same requirements. `dev` holds all of `quantization`.
  stamp="$("$python" - "$root" pyproject.toml constraints.txt <<'PYTHON'
import hashlib, pathlib, sys
print(hashlib.sha256("".join([sys.argv[1], sys.version, *(pathlib.Path(f).read_text() for f in sys.argv[2:])]).encode()).hexdigest())
PYTHON
)"
  for mark in "$extra" dev; do
    [ "$(cat "$venv/.rlhf-$mark" 2>/dev/null)" != "$stamp" ] || return 0
  done

  # 2. The large packages by themselves first, so that one sees how far it is; each with bytecode, or every start would
  # compile torch anew: 15 s of imports instead of 6.
  enough_disk
  local install=("$python" -m pip install -qq --disable-pip-version-check)
  if command -v uv >/dev/null; then
    install=(uv pip install --quiet --python "$python" --compile-bytecode)
    [ -z "${PIP_FIND_LINKS:-}" ] || install+=(--find-links "$PIP_FIND_LINKS")
  fi
  phase "1 of 3: torch, the largest part" torch
  phase "2 of 3: transformers, trl, peft and datasets" transformers trl peft datasets
  phase "3 of 3: mlflow and the rest of rlhf[$extra]" -e ".[$extra]"
  echo "$stamp" >"$venv/.rlhf-$extra"
}

phase() {  # phase TITLE REQUIREMENT...: says what is being installed, and installs it
  echo "installing $1"
  env -u PYTHONDONTWRITEBYTECODE "${install[@]}" -c constraints.txt "${@:2}" \
    || stop "the installation failed (see above). Check network and disk, then run the same command again."
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  usage "Usage: bash scripts/install.sh
Makes the virtual environment .venv (or RLHF_VENV=FOLDER) and installs this checkout in it, once." "$@"
  [ $# -eq 0 ] || stop "it takes no words, got $1. The environment's folder is set with RLHF_VENV=FOLDER."
  root="$(cd "$(dirname "$0")/.." && pwd)"
  cd "$root"
  venv="${RLHF_VENV:-$root/.venv}"
  install_project quantization
  echo "installed; activate it with: source $venv/bin/activate"
fi
