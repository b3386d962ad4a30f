# Reads what setup must know of a host; changes nothing. POSIX sh, no Python, no jq.
#
# $1 is a random word that marks our lines, $2 the data and $3 the log directory of BZZZ, $4 what
# SSH_CONNECTION says to the login itself (sudo hides it from us), $5 the login's name, $6 where
# models of a new server would lie.
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
through=${4:-}
login=${5:-}
models=${6:-/var/lib/bzzz-models}
seconds=10
begun=$(date +%s)

# What a section prints goes to a file first. A process that hangs in the kernel, as `df` does on a
# dead file server, outlives its killing; it would keep our own output open for as long as it lives,
# and nobody would learn anything. Memory before a disk, which may be full: that too is to be found.
# What a killed probe left goes first: our own directories, no links to any, and none that is so
# young that a probe may be at work in it.
memory=/dev/shm
disk=${TMPDIR:-/tmp}
timeout 5 find "$memory" "$disk" -maxdepth 1 -type d -name "bzzz-probe-*" -user "$(id -u)" \
  -mmin +10 -exec rm -rf -- {} + 2>/dev/null
room=$(mktemp -d "$memory/bzzz-probe-XXXXXXXX" 2>/dev/null ||
  mktemp -d "$disk/bzzz-probe-XXXXXXXX" 2>/dev/null)
export room

# A reader that went away is a broken pipe, of which some shells would die without tidying up.
child=
leave() {
  if [ -n "$child" ]; then kill "$child" 2>/dev/null; fi
  if [ -n "$room" ]; then rm -rf -- "$room"; fi
}
trap leave EXIT
trap 'exit 124' TERM HUP INT PIPE

# Every body begins with these:
# `show KEY FILE` prints the first line of a file, if the kernel lets it be read. `held LABEL SECONDS
# TOOL...` runs a tool that is known to hang, prints how it ended and what it said, and leaves that
# in $kept. `as_owner FILE TOOL...` runs a tool with the rights of the owner of a file's directory, for
# root would follow a link that the user `bzzz` placed there. No file that a section writes grows beyond 4000 blocks of 512 bytes, some 2 MB; whoever
# writes more is killed.
prelude='
ulimit -f 4000
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
  [ -n "$room" ] || exit 1
  kept=$room/$label
  timeout -k 1 "$most" "$@" >"$kept" 2>&1 </dev/null
  status=$?
  echo "== $label $status"
  head -n 500 "$kept"
}
as_owner() {
  if [ "$(id -u)" -eq 0 ]; then owner=$(stat -Lc "%u %g" -- "${1%/*}") || return; else owner=0; fi
  shift
  case $owner in
    "0 "*|0) "$@" ;;
    *) setpriv --reuid "${owner% *}" --regid "${owner#* }" --clear-groups -- "$@" ;;
  esac
}
'

# Run in the background, for a shell hears a signal while it waits, but not while a tool runs.
limited() {
  timeout -k 2 "$seconds" sh -c "$prelude$body" "$name" "$@" </dev/null 2>/dev/null &
  child=$!
  wait "$child"
  status=$?
  child=
}

# After 45 seconds what is left is skipped: the command as a whole has a limit too, and half of the
# facts are better than none. What a section prints is cut, for the output as a whole is: one byte
# past what is read of one goes out, and whoever reads it knows by that that it is a half. Each has a
# file of its own, for what outlived its killing may go on writing to the one before.
cut=400000
count=0
section() {
  name=$1
  body=$2
  shift 2
  printf '@@%s begin %s\n' "$word" "$name"
  if [ "$(($(date +%s) - begun))" -ge 45 ]; then
    status=125
  elif [ -n "$room" ]; then
    count=$((count + 1))
    limited "$@" >"$room/said.$count"
    head -c "$((cut + 1))" "$room/said.$count"
  else
    limited "$@"
  fi
  printf '\n@@%s end %s %s\n' "$word" "$name" "$status"
}
