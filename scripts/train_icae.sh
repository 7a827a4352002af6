#!/bin/bash
# Trains the adapters of the default model, from data to evaluation: token shards, pretraining, questions. Every part goes
# on where it was stopped, so the same command may be given again after a time limit.
#
#   scripts/train_icae.sh RATIO [FLAGS OF steno train...]      RATIO: 4 or 16
#     DEVICE=cpu|cuda   (default: cuda)
#     RUNS=FOLDER       (default: runs)          OUT/icae_4x/adapter and OUT/icae_4x_questions/adapter are the results
#     DATA=FOLDER       (default: training_data) made by scripts/prepare_training_data.sh if it is not there
#     STENO=FILE        (default: build/release/steno)
#     RANKS=N           (default: 1) processes, by mpirun
#
# Flags go to both stages; scripts/train_icae.sh 4 --steps 2 --batch 2 --micro-batch 1 tries everything in small.
set -euo pipefail
cd "$(dirname "$0")/.."

ratio=${1-}
[[ $ratio == 4 || $ratio == 16 ]] || { echo "train_icae: name the ratio, 4 or 16" >&2; exit 2; }
shift
steno=${STENO-build/release/steno} runs=${RUNS-runs} data=${DATA-training_data} device=${DEVICE-cuda}
launch=()
[ "${RANKS-1}" = 1 ] || launch=(mpirun -np "$RANKS")

compgen -G "$data/prose.train*.shard" > /dev/null || STENO=$steno scripts/prepare_training_data.sh "$data"

train() { # NAME, then flags
  local out=$runs/$1 resume=()
  shift
  [ ! -e "$out/adapter" ] || return 0
  [ ! -d "$out/checkpoints" ] || resume=(--resume)
  ${launch[@]+"${launch[@]}"} "$steno" train --device "$device" --out "$out" ${resume[@]+"${resume[@]}"} "$@"
}

train "icae_${ratio}x" --config "configs/icae_${ratio}x.toml" \
  --data "$data"/prose.train*.shard --valid "$data"/prose.valid*.shard "$@"
train "icae_${ratio}x_questions" --config configs/icae_questions.toml --init "$runs/icae_${ratio}x/adapter" \
  --data "$data"/qa.train*.shard --valid "$data"/qa.valid*.shard "$@"
echo "adapters: $runs/icae_${ratio}x/adapter $runs/icae_${ratio}x_questions/adapter"
