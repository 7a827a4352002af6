#!/bin/bash
# Makes token shards for training out of the files that STENO_DATA names, small enough to be taken to a machine without
# a network: a random choice of pieces of prose.train, of questions of qa.train by context, and their held-out
# counterparts. The same seed chooses the same pieces.
#
#   scripts/prepare_training_data.sh [OUT]         (default: training_data)
#     MODEL=FILE        whose tokenizer is used (default: the program's default model)
#     STENO=FILE        the program (default: build/release/steno)
#     TOTAL_MIB=48      size of everything together
#     PIECE=2048        tokens of a piece of prose, 0: whole documents
#     SPLIT_MIB=16      largest shard
#     SEED=1
#
# Tokens take two bytes each: 48 MiB are about 25 million of them. Three quarters go to prose, a fifth to questions, the
# rest to held-out prose and questions.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1-training_data}
steno=${STENO-build/release/steno}
total=${TOTAL_MIB-48} piece=${PIECE-2048} split=${SPLIT_MIB-16} seed=${SEED-1}
model=()
[ -z "${MODEL-}" ] || model=(--model "$MODEL")

fail() {
  echo "prepare_training_data: $*" >&2
  exit 2
}
[ -x "$steno" ] || fail "$steno is not there; build it, or set STENO"
[ -d "${STENO_DATA-}" ] || fail "set STENO_DATA to the folder of prose.train.jsonl.zst and qa.train.jsonl.zst"
[[ $total =~ ^[0-9]+$ && $total -gt 0 ]] || fail "TOTAL_MIB is '$total', not a number of at least 1"

mkdir -p "$out"
kib=$((total * 1024))
make_shards() { # NAME SHARE_IN_PERCENT FILE
  [ -e "$STENO_DATA/$3" ] || fail "$STENO_DATA/$3 is not there"
  rm -f "$out/$1".shard "$out/$1"-*-of-*.shard # of an earlier run with other sizes
  "$steno" tokenize --shards "$out/$1.shard" "$STENO_DATA/$3" --piece "$piece" --seed "$seed" \
    --total-bytes "$((kib * $2 / 100))K" --split-bytes "${split}M" ${model[@]+"${model[@]}"}
}
make_shards prose.train 75 prose.train.jsonl.zst
make_shards qa.train 20 qa.train.jsonl.zst
make_shards prose.valid 3 prose.valid.jsonl.zst
make_shards qa.valid 2 qa.valid.jsonl.zst
du -sh "$out"
