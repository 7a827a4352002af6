#!/bin/bash
# The main job on a text that every Debian and Ubuntu has: questions about a document, with memories far smaller than it.
# Usage: demo.sh STENO; DOCUMENT=FILE, BUDGET=SLOTS and QUESTIONS (one a line) ask about something else.
set -euo pipefail
cd "$(dirname "$0")/.."

steno=${1:-build/release/steno}
document=${DOCUMENT:-/usr/share/common-licenses/GPL-3}
budget=${BUDGET:-512}
questions=${QUESTIONS:-"What is this text about?
What does the last paragraph say about proprietary programs?"}

[ -r "$document" ] || {
  echo "demo: $document is not here; name another text: DOCUMENT=some.txt make demo" >&2
  exit 3
}
arguments=()
while IFS= read -r question; do
  [ -z "$question" ] || arguments+=(--question "$question")
done <<<"$questions"

echo
echo "The document: $document, $(wc -w <"$document") words."
echo "Each method reads it once and answers from what it kept. The model is a small one (135M parameters), so its answers"
echo "are simple; what differs is what it can still see."
show() {
  local title=$1
  shift
  echo
  echo "== $title"
  echo "   steno ask $(basename "$document") --question ... $*"
  echo
  "$steno" ask "$document" "${arguments[@]}" --max-new-tokens 80 "$@" 2>&1
}
show "dense: everything is kept" --method dense
show "window: the newest $budget tokens" --method window --budget "$budget"
show "streaming-llm: the first 4 tokens and the newest ones, $budget together" --method streaming-llm --budget "$budget"
echo
echo "Try your own: $steno ask YOUR.txt --question \"...\" --method streaming-llm --budget $budget"
