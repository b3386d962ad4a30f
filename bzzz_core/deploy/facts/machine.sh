# What a plan rests on: system, interpreters, space, addresses, ports.

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

# Isolated (-I, -S): neither the environment nor site packages decide what is found. An interpreter
# of two names is started once. Of what distributions leave out or that may lack its library the
# compiled half is loaded; the rest is only looked for, as to run all of it takes ten times as long.
section python '
last=
for name in python3 python3.14 python3.13 python3.12 python3.11; do
  for place in /usr/bin /usr/local/bin /opt/bzzz/runtimes/*/bin; do
    path=$place/$name
    [ -x "$path" ] || continue
    case $path in /opt/*/python3.*) continue ;; esac
    echo "path=$path"
    real=$(readlink -f "$path" || echo "$path")
    [ "$real" = "$last" ] || said=$("$path" -I -S -c "
import sys
from importlib import import_module
from importlib.machinery import BuiltinImporter, PathFinder
def there(name):
    found, place = None, None
    for part in name.split(chr(46)):
        found = PathFinder.find_spec(part, place) or BuiltinImporter.find_spec(part)
        if found is None:
            raise ImportError
        place = found.submodule_search_locations
print(\"version=%d.%d.%d\" % sys.version_info[:3])
name = sys.implementation.name
print(\"implementation=\" + (\"CPython\" if name == \"cpython\" else name))
for name in (\"ssl\", \"sqlite3\", \"ctypes\", \"zlib\", \"lzma\", \"bz2\", \"asyncio\", \"json\", \"uuid\",
             \"email\", \"http.client\", \"multiprocessing\", \"decimal\", \"unittest\"):
    try:
        there(name)
        if name in (\"ssl\", \"sqlite3\", \"ctypes\", \"lzma\", \"bz2\", \"multiprocessing\"):
            import_module(\"_\" + name)
        elif name == \"zlib\":
            import_module(name)
    except ImportError:
        print(\"missing=\" + name)
print(\"done=1\")
")
    last=$real
    printf "%s\n" "$said"
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
