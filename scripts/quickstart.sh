#!/usr/bin/env bash
# From a fresh checkout to a comparison: bash scripts/quickstart.sh [folder of the virtual environment]
# Installs the project, then trains SFT, a reward model, DPO and PPO on the toy world for GPT-2 and MT5. No network after
# the installation, no GPU. RLHF_VENV names the environment too; the default is .venv in the checkout.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/install.sh
source "$root/scripts/install.sh"
usage "Usage: bash scripts/quickstart.sh [FOLDER]
Installs the project in a virtual environment (FOLDER, else RLHF_VENV, else .venv in the checkout), then trains SFT, a
reward model, DPO and PPO on the toy world for GPT-2 and MT5 and compares them. Minutes; no GPU needed." "$@"
[ $# -le 1 ] || stop "it takes one folder, got $# words. Write: bash scripts/quickstart.sh FOLDER"
venv="${1:-${RLHF_VENV:-}}"
case "$venv" in '' | /*) ;; *) venv="$PWD/$venv" ;; esac
venv="${venv:-$root/.venv}"
cd "$root"

# 1. Install.
install_project quantization
installed=$SECONDS

# 2. Run. HF_HUB_OFFLINE: tiny models and toy data are made here, nothing is asked of the hub.
HF_HUB_OFFLINE=1 "$python" -m rlhf -m experiment=quickstart

echo "time     $((SECONDS - installed)) s, and $installed s of installation"
shown="$venv"
[ "$venv" != "$root/.venv" ] || shown=.venv
echo "now      cd $root && source $shown/bin/activate"
echo "next     rlhf method=ppo method.kl.target=3   # PPO of your own; rlhf --help shows more"
