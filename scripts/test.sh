#!/usr/bin/env bash
# Everything CI checks: bash scripts/test.sh [pytest arguments]
# Without arguments: ruff, mypy, and all tests; the quick ones cover at least 90% of the lines. With arguments (a file,
# -k name): the same checks and those tests, without coverage. RLHF_VENV names the environment; the default is .venv.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${RLHF_VENV:-$root/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
cd "$root"
# shellcheck source=scripts/install.sh
source scripts/install.sh
case "${1:-}" in -h | --help) usage "Usage: bash scripts/test.sh [PYTEST ARGUMENTS]
Without arguments: ruff, mypy, and all tests; the quick ones cover at least 90% of the lines. With arguments (a file,
-k name): the same checks and those tests, without coverage. RLHF_VENV names the environment; the default is .venv." "$@" ;; esac

# 1. Install.
install_project dev

# Debian's Chromium, for the tests that look at the report's page; without it they are skipped and say so.
if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) >/dev/null 2>&1 \
    || echo "chromium could not be installed: the report's page is not tried in a browser"
fi

# 2. Style and types.
ours=(rlhf scripts tests) # a user's own files may lie in the checkout, and are not ours to judge
"$python" -m ruff check "${ours[@]}"
"$python" -m ruff format --check "${ours[@]}"
"$python" -m mypy

# 3. PostgreSQL, for the tests of tracking under load; where it can't be had they are skipped, and say so.
if ! command -v initdb >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
  && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing PostgreSQL"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql; } \
    >/dev/null 2>&1 || echo "test.sh: apt-get could not install PostgreSQL; the tests that need it are skipped"
fi

# 4. Tests, in processes of one thread, one more than two cores since some wait for servers and schedulers; a file's tests
# stay together, they share trained models.
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 MLFLOW_DISABLE_TELEMETRY=true
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
if [ $# -gt 0 ]; then
  exec "$python" -m pytest "$@"
fi
# Quick tests cover the lines, those of the `rlhf` commands that they start, too (coverage's own .pth file reads these
# variables in every process). Slow ones run without: it would cost them a third more. Their files start in the order that tests/conftest.py gives them, the longest first.
failed=0
COVERAGE_PROCESS_START="$root/pyproject.toml" COVERAGE_FILE="$root/.coverage" "$python" -m pytest -rs -n 3 --dist loadfile \
  -m "not slow and not thorough" --cov=rlhf --cov-report=term:skip-covered --cov-fail-under=90 || failed=$?
"$python" -m pytest -rs -n 3 --dist loadfile --no-loadscope-reorder -m "slow and not thorough" || failed=$?
exit "$failed"
