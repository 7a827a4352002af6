# Bash completion for steno. Installed as PREFIX/share/bash-completion/completions/steno.

# The names come from the program itself, so that a new method needs no change here; asked once per shell.
_steno_methods() {
  [ -n "${_steno_method_names-}" ] || _steno_method_names=$("${COMP_WORDS[0]}" methods --names 2>/dev/null)
  printf '%s\n' "$_steno_method_names"
}

_steno_tasks() {
  [ -n "${_steno_task_names-}" ] ||
    _steno_task_names=$("${COMP_WORDS[0]}" eval --list 2>/dev/null | sed -n 's/^\([a-z-]*\):.*/\1/p')
  printf '%s\n' "$_steno_task_names"
}

_steno() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local verbs="generate ask chat reconstruct compress memory train eval report tokenize inspect methods"
  local common="--help --model --device --dtype --threads --seed --json --quiet --verbose --config"
  local answers="--temperature --top-k --top-p --min-p --repetition-penalty --max-new-tokens --stop --system --chat-format"
  local memory="--method --budget --chunk --param"
  local files="--set --jobs --slot-dtype --spans --keep-text --wait --certify --compare-dtypes --min-fidelity --halvings"
  local verb="" word
  COMPREPLY=()

  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in generate | ask | chat | reconstruct | compress | memory | train | eval | report | tokenize | inspect | methods) verb=$word && break ;; esac
  done
  if [ -z "$verb" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$current")
    return
  fi

  case $previous in
    --model | --config | --prompt-file | --out | -o | --svg | --load | --transcript | --data | --valid | --init | --memory) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
    --method) mapfile -t COMPREPLY < <(compgen -W "$(_steno_methods)" -- "$current") && return ;;
    --device) mapfile -t COMPREPLY < <(compgen -W "cpu cuda" -- "$current") && return ;;
    --dtype) mapfile -t COMPREPLY < <(compgen -W "bf16 f32" -- "$current") && return ;;
    --slot-dtype) mapfile -t COMPREPLY < <(compgen -W "f32 bf16 int8 int4" -- "$current") && return ;;
    --spans) mapfile -t COMPREPLY < <(compgen -W "fixed balanced" -- "$current") && return ;;
    --chat-format)
      mapfile -t COMPREPLY < <(compgen -W "chatml smollm qwen llama-2 llama-3 mistral gemma phi-3 plain" -- "$current")
      return
      ;;
    --choose) mapfile -t COMPREPLY < <(compgen -W "auto bm25 attention order" -- "$current") && return ;;
    --threads | --seed | --temperature | --top-k | --top-p | --min-p | --repetition-penalty | --max-new-tokens | --stop | \
      --system | --budget | --chunk | --param | --question | --prompt | --logprobs | --text-limit | --undo | \
      --jobs | --min-fidelity | --halvings | --params | --limit | --set | --span | --room | --length | --depth) return ;;
  esac

  local flags
  case $verb in
    generate) flags="--prompt-file --prompt --chat --echo --logprobs $memory $answers" ;;
    ask) flags="--question --set --choose --room $memory $answers" ;;
    chat) flags="--load --transcript --undo --memory --set --choose --room $memory $answers" ;;
    reconstruct) flags="--span --set" ;;
    compress) flags="--out --method --append --force $files" ;;
    memory) flags="--out --force $files" ;;
    train)
      flags="--method --objective --set --init --out --resume --data --valid"
      flags+=" --piece --packing --min-tokens --max-tokens --answer --skip-bad"
      flags+=" --steps --batch --micro-batch --lr --schedule --warmup --min-lr-ratio --beta1 --beta2 --eps --weight-decay"
      flags+=" --clip-norm --max-bad-steps --divergence-factor --divergence-patience --log-every --eval-every"
      flags+=" --eval-examples --save-every --keep --sample-every --samples --on-full-disk"
      ;;
    eval)
      flags="--list --method --budget --chunk --params --query-aware --data --limit --spread --skip-bad --set --length --depth"
      flags+=" --no-controls --out"
      ;;
    report) flags="--out --svg --text-limit" ;;
    tokenize) flags="--decode --no-special --shards --split-bytes --total-bytes --piece --skip-bad" ;;
    inspect) flags="--all" ;;
    methods) flags="--names" ;;
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$common $flags" -- "$current")
  elif [ "$verb" = memory ] && [ "$previous" = memory ]; then
    mapfile -t COMPREPLY < <(compgen -W "list show verify append delete merge export" -- "$current")
  elif [ "$verb" = eval ]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_steno_tasks)" -- "$current")
  elif [ "$verb" != methods ] && [ "$verb" != chat ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}

# filenames: a folder gets its slash, odd names their quotes; only used where files were offered.
complete -o filenames -F _steno steno
