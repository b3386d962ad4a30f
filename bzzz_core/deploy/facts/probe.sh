# Reads what setup must know of a host; changes nothing. POSIX sh, no Python, no jq.
#
# $1 is a random word that marks our lines, $2 the data and $3 the log directory of BZZZ.
# Every section runs in a shell of its own under a time limit and reports how it ended, so that a
# hanging tool or a missing file costs one section and never the probe. A section that prints
# nothing has found nothing; a section that fails is *unknown*, which is not the same.
# Section bodies stand in single quotes, so they contain none.

LC_ALL=C
export LC_ALL
word=$1
data=$2
logs=$3
if command -v timeout >/dev/null 2>&1; then
  limit="timeout -k 2 10"
else
  limit=
fi

section() {
  name=$1
  body=$2
  shift 2
  printf '@@%s begin %s\n' "$word" "$name"
  $limit sh -c "$body" "$name" "$@" </dev/null 2>/dev/null
  printf '\n@@%s end %s %s\n' "$word" "$name" "$?"
}

section os '
cat /etc/os-release || cat /usr/lib/os-release
'

section machine '
echo "uid=$(id -u)"
echo "hostname=$(uname -n)"
echo "arch=$(uname -m)"
echo "kernel=$(uname -r)"
echo "libc=$(getconf GNU_LIBC_VERSION || echo)"
for musl in /lib/ld-musl-*; do [ -e "$musl" ] && echo "musl=$musl"; done
echo "init=$(cat /proc/1/comm)"
echo "systemd=$(systemctl is-system-running || true)"
echo "machine_id=$(cat /etc/machine-id)"
echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
echo "cpus=$(getconf _NPROCESSORS_ONLN || nproc)"
echo "cgroup=$(stat -fc %T /sys/fs/cgroup)"
sed -n "s/^MemTotal: *\([0-9]*\) kB/memory_total_kb=\1/p
s/^MemAvailable: *\([0-9]*\) kB/memory_available_kb=\1/p" /proc/meminfo
'

# Isolated (-I, -S): neither the environment nor site packages decide what is found.
section python '
for name in python3 python3.14 python3.13 python3.12 python3.11; do
  for place in /usr/bin /usr/local/bin; do
    path=$place/$name
    [ -x "$path" ] || continue
    echo "path=$path"
    "$path" -I -S -c "
import importlib, platform, sys
print(\"version=%d.%d.%d\" % sys.version_info[:3])
print(\"implementation=\" + platform.python_implementation())
for name in (\"ssl\", \"sqlite3\", \"ctypes\", \"zlib\", \"lzma\", \"bz2\", \"asyncio\", \"json\", \"uuid\",
             \"email\", \"http.client\", \"multiprocessing\", \"decimal\", \"unittest\"):
    try:
        importlib.import_module(name)
    except ImportError:
        print(\"missing=\" + name)
print(\"done=1\")
"
  done
done
true
'

section disk '
for want in /opt /var/lib /var/tmp "$1"; do
  at=$want
  while [ ! -d "$at" ]; do at=$(dirname "$at"); done
  set -- $(df -Pk "$at" | tail -n 1)
  free=$4
  mount=$6
  set -- $(df -Pi "$at" | tail -n 1)
  options=$(findmnt -no OPTIONS -T "$at")
  echo "$want $free $4 $mount ${options:--}"
done
' "$data"

section address '
if command -v ip >/dev/null; then
  ip -o addr show | while read -r _ _ family address _; do
    case $family in inet|inet6) echo "${address%%/*}" ;; esac
  done
else
  hostname -I | tr " " "\n"
fi
'

section listen '
command -v ss >/dev/null || exit 1
ss -Hltnpe
'

# Which control group (and so which unit) each listening process belongs to.
section owner '
for pid in $(ss -Hltnp | grep -o "pid=[0-9]*" | sort -u); do
  pid=${pid#pid=}
  while read -r line; do
    case $line in *.service|*.scope|*.slice|0::*) echo "$pid $line" ;; esac
  done < "/proc/$pid/cgroup"
done
true
'

# By PCI alone: a tool on the PATH says nothing about a card in the machine.
section gpu '
[ -d /sys/bus/pci/devices ] || exit 1
for device in /sys/bus/pci/devices/*; do
  [ -r "$device/class" ] || continue
  read -r class < "$device/class"
  case $class in
    0x03*|0x1200*)
      read -r vendor < "$device/vendor"
      read -r id < "$device/device"
      driver=$(readlink "$device/driver" || true)
      echo "${device##*/} $vendor $id $class ${driver##*/}"
      ;;
  esac
done
true
'

section account '
getent passwd bzzz || [ $? -eq 2 ]
'

# Newest first. A directory without a manifest is not a release.
section release '
echo "current=$(readlink /opt/bzzz/current || true)"
ls -1t /opt/bzzz/releases 2>/dev/null | while read -r name; do
  [ -f "/opt/bzzz/releases/$name/manifest.json" ] && echo "release=$name"
done
true
'

# Private keys are looked at, never read. A place we may not look into is "unknown".
section files '
look() {
  if [ -L "$1" ]; then echo "link - - - - $1"
  elif [ -d "$1" ]; then echo "directory $(stat -c "%a %U %G" -- "$1") - $1"
  elif [ -f "$1" ]; then
    case $1 in
      *.key) sum=- ;;
      *) sum=$(sha256sum < "$1") && sum=${sum%% *} || sum=- ;;
    esac
    echo "file $(stat -c "%a %U %G" -- "$1") $sum $1"
  elif [ -e "$1" ]; then echo "other - - - - $1"
  elif [ -x "${1%/*}" ] || [ ! -e "${1%/*}" ]; then echo "absent - - - - $1"
  else echo "unknown - - - - $1"
  fi
}
for path in /opt/bzzz /opt/bzzz/releases /etc/bzzz /etc/bzzz/secrets "$1" "$2" \
  /etc/bzzz/agent.yaml /etc/bzzz/node.json \
  /etc/systemd/system/bzzz-fabric.service /etc/systemd/system/bzzz-agent.service \
  /etc/bzzz/secrets/identity.key /etc/bzzz/secrets/node.key /etc/bzzz/secrets/route.key \
  /etc/bzzz/secrets/system.key /etc/bzzz/secrets/system.pem \
  /etc/bzzz/secrets/node-issuer.pem /etc/bzzz/secrets/fabric-issuer.pem \
  /etc/bzzz/secrets/node.pem /etc/bzzz/secrets/node-ca.pem \
  /etc/bzzz/secrets/route.pem /etc/bzzz/secrets/fabric-ca.pem /etc/bzzz/secrets/api-token \
  /etc/bzzz/secrets/ai-api-key
do look "$path"; done
' "$data" "$logs"

# Public parts only: requests, certificates, and a configuration that holds references to secrets.
# Of an issuer its certificate alone: the sealed key behind it stays where it is.
for path in /etc/bzzz/agent.yaml /etc/bzzz/node.json /etc/bzzz/secrets/node.pem \
  /etc/bzzz/secrets/route.pem /etc/bzzz/secrets/system.pem \
  /etc/bzzz/secrets/node-issuer.pem /etc/bzzz/secrets/fabric-issuer.pem
do
  section "content:$path" '
if [ -f "$1" ]; then sed "/^-----BEGIN BZZZ SEALED KEY-----/,\$d" "$1"
elif [ -x "${1%/*}" ] || [ ! -e "${1%/*}" ]; then exit 44
else exit 1
fi
' "$path"
done

for unit in bzzz-fabric bzzz-agent; do
  section "unit:$unit" '
systemctl show -p LoadState -p ActiveState -p SubState -p UnitFileState -p MainPID -p NRestarts \
  -p NeedDaemonReload "$1.service" || exit 1
# Written by the unit as it starts: where it starts, then what it starts with. A container may hide
# /proc/PID/cwd even from root.
if [ -f "/run/$1/inputs" ]; then
  while read -r first path; do
    case $first in
      /*) echo "cwd=$first" ;;
      *) echo "input=$first $path" ;;
    esac
  done < "/run/$1/inputs"
fi
true
' "$unit"
done
exit 0
