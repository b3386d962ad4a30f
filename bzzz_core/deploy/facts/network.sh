# Interfaces, routes, name servers and proxies.

# By the kernel alone: no process is started, however many interfaces there are.
section link '
for at in /sys/class/net/*; do
  [ -d "$at" ] || continue
  echo "== ${at##*/}"
  show state "$at/operstate"
  show carrier "$at/carrier"
  show speed "$at/speed"
  show mtu "$at/mtu"
  show mac "$at/address"
  show type "$at/type"
  show tun "$at/tun_flags"
  show slaves "$at/bonding/slaves"
  [ -e "$at/device" ] && echo device=1
  [ -d "$at/bridge" ] && echo bridge=1
  while read -r line; do
    case $line in DEVTYPE=*) echo "$line" ;; esac
  done < "$at/uevent"
  [ -r "$at/master/uevent" ] || continue
  while read -r line; do
    case $line in INTERFACE=*) echo "master=${line#*=}" ;; esac
  done < "$at/master/uevent"
done
true
'

# Detailed in JSON where `ip` can do that, and where it stays of a bearable size.
section ip '
command -v ip >/dev/null || exit 1
set -- /sys/class/net/*
if [ $# -le 500 ] && ip -j -d addr show 2>/dev/null; then exit 0; fi
{ ip -o addr show || exit 1; } | head -n 2000
'

# In text: its form is the same in all versions, and it can be cut; a router has a million routes.
section route '
command -v ip >/dev/null || exit 1
ip -4 route show table main >/dev/null || exit 1
echo "== 4"
ip -4 -o route show table main | head -n 1000
echo "== 6"
ip -6 -o route show table main | head -n 1000
true
'

section resolver '
wanted="^(nameserver|search|domain)[[:space:]]"
[ -e /etc/resolv.conf ] || exit 0
[ -r /etc/resolv.conf ] || exit 1
grep -E "$wanted" /etc/resolv.conf | head -n 100
echo "== upstream"
[ -r /run/systemd/resolve/resolv.conf ] && grep -E "$wanted" /run/systemd/resolve/resolv.conf |
  head -n 100
true
'

# A login in an address never leaves the host, with a scheme before it or without: between the word
# "proxy" and the last "@" of a line only a known scheme stays. Where an "@" is left then, a login
# stands before that word, and everything up to it goes. The name of the file is held apart.
section proxy '
login="([Pp][Rr][Oo][Xx][Yy][\"=:[:space:]]*)((https?|ftp|socks[45][ah]?)://)?.*@"
grep -isHE -e "^[^#]*(https?|all|ftp)[_-]proxy" -e "^[^#/]*::proxy" -e "^ *proxy *=" \
  /etc/environment /etc/profile.d/*.sh /etc/apt/apt.conf /etc/apt/apt.conf.d/* \
  /etc/dnf/dnf.conf /etc/yum.conf /etc/systemd/system.conf /etc/systemd/system.conf.d/*.conf \
  /etc/systemd/system/docker.service.d/*.conf /etc/docker/daemon.json |
  head -n 50 |
  sed -E -e h -e "s/:.*/:/" -e x -e "s/^[^:]*://" -e "s#$login#\1\2#" -e "s/^.*@//" \
    -e H -e x -e "s/\n//"
true
'
