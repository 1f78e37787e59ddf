#!/usr/bin/env bash
# From a NeoRL-2 log to a policy, without a simulator: experiments/neorl2.sh dmsd|simglucose|safety-halfcheetah
# Imports the log, gives `orl tune` 45 minutes, and keeps the selected policy and the reports in experiments/results/neorl2.
# Reference returns are those of the benchmark (NeoRL-2, arXiv:2503.19267): a score of 0 and of 100.
set -euo pipefail
logs=${ORL_SHARED_DATA:-../shared/data}/neorl2
case ${1:-} in
  dmsd) file=DMSD-high-100000-train.npz low=30.6 high=849.5 ;;
  simglucose) file=Simglucose-high-100000-train.npz low=9.75 high=475 ;;
  safety-halfcheetah) file=SafetyHalfCheetah-high-100000-train.npz low=-283 high=2507 ;;
  *) echo "name one of dmsd, simglucose, safety-halfcheetah" >&2; exit 2 ;;
esac
id=neorl2/$1-v0 runs=runs/neorl2/$1 kept=experiments/results/neorl2/$1

orl data list | grep -q "$id" || orl data import "$logs/$file" --id "$id" --obs obs --action action --reward reward \
  --next-obs next_obs --terminated done --truncated truncated --reference-min "$low" --reference-max "$high"
orl tune -d "$id" --budget 45m -o "$runs"
selected=$(orl tune -d "$id" --budget 45m -o "$runs" --json --quiet | python3 -c \
  'import json, sys; print((json.load(sys.stdin)["selection"]["selected"] or {"run": ""})["run"])')
rm -rf "$kept" && mkdir -p "$kept"
cp "$runs/tune.json" "$runs/selection.json" "$kept"
if [ -n "$selected" ]; then orl runs pack "$selected" "$kept/policy"; fi
