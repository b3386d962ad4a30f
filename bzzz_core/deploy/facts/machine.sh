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

# Isolated (-I, -S): neither the environment nor site packages decide what is found.
section python '
for name in python3 python3.14 python3.13 python3.12 python3.11; do
  for place in /usr/bin /usr/local/bin /opt/bzzz/runtimes/*/bin; do
    path=$place/$name
    [ -x "$path" ] || continue
    case $path in /opt/*/python3.*) continue ;; esac
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
