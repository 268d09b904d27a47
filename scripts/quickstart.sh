#!/usr/bin/env bash
# From a fresh checkout to a comparison: bash scripts/quickstart.sh [folder of the virtual environment]
# Installs the project, then trains SFT, a reward model, DPO and PPO on the toy world for GPT-2 and MT5. No network after
# the installation, no GPU. RLHF_VENV names the environment too; the default is .venv in the checkout.
set -euo pipefail

venv="${1:-${RLHF_VENV:-}}"
case "$venv" in '' | /*) ;; *) venv="$PWD/$venv" ;; esac
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${venv:-$root/.venv}"
cd "$root"
# shellcheck source=scripts/install.sh
source scripts/install.sh

# 1. Install.
install_project quantization
installed=$SECONDS

# 2. Run. HF_HUB_OFFLINE: tiny models and toy data are made here, nothing is asked of the hub.
HF_HUB_OFFLINE=1 "$python" -m rlhf -m experiment=quickstart

echo "time     $((SECONDS - installed)) s, and $installed s of installation"
