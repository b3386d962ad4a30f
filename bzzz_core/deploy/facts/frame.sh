# Reads what setup must know of a host; changes nothing. POSIX sh, no Python, no jq.
#
# $1 is a random word that marks our lines, $2 the data and $3 the log directory of BZZZ.
# Every section runs in a shell of its own under a time limit and reports how it ended, so that a
# hanging tool or a missing file costs one section and never the probe. A section that prints
# nothing has found nothing; a section that fails is *unknown*, which is not the same.
# Section bodies stand in single quotes, so they contain none. The files beside this one hold them.

LC_ALL=C
export LC_ALL
# Vendors install their tools beside the usual places.
PATH=$PATH:/opt/rocm/bin:/usr/lib/wsl/lib
export PATH
word=$1
data=$2
logs=$3
seconds=10
begun=$(date +%s)

# Every body begins with these:
# `show KEY FILE` prints the first line of a file, if the kernel lets it be read. `held LABEL SECONDS
# TOOL...` runs a tool that is known to hang and prints how it ended and what it said. Its output
# goes to a file: a process that hangs in the kernel outlives its killing, and would keep our own
# output open for as long as it lives.
prelude='
show() {
  [ -r "$2" ] || return 0
  text=
  { read -r text || [ -n "$text" ]; } < "$2" && echo "$1=$text"
  return 0
}
held() {
  label=$1
  most=$2
  shift 2
  kept=$(mktemp) || exit 1
  trap "rm -f $kept" EXIT
  trap "exit 124" TERM
  timeout -k 1 "$most" "$@" >"$kept" 2>&1 </dev/null &
  wait $!
  status=$?
  echo "== $label $status"
  head -n 500 "$kept"
}
'

# After 45 seconds what is left is skipped: the command as a whole has a limit too, and half of the
# facts are better than none.
section() {
  name=$1
  body=$2
  shift 2
  printf '@@%s begin %s\n' "$word" "$name"
  if [ "$(($(date +%s) - begun))" -lt 45 ]; then
    timeout -k 2 "$seconds" sh -c "$prelude$body" "$name" "$@" </dev/null 2>/dev/null
    printf '\n@@%s end %s %s\n' "$word" "$name" "$?"
  else
    printf '\n@@%s end %s 125\n' "$word" "$name"
  fi
}
