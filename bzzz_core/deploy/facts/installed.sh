# What an existing BZZZ left here.

section account '
getent passwd bzzz || [ $? -eq 2 ]
'

# Newest first. A directory without a manifest is not a release. Of the runtimes: which the units
# start with, those in force and those that are kept for the way back.
section release '
echo "current=$(readlink /opt/bzzz/current || true)"
echo "previous=$(readlink /opt/bzzz/previous || true)"
show pending /opt/bzzz/install/pending
show kept /opt/bzzz/install/before/release
ls -1t /opt/bzzz/runtimes 2>/dev/null | while read -r name; do
  case $name in *.part) continue ;; esac
  [ -x "/opt/bzzz/runtimes/$name/bin/python3" ] && echo "runtime=$name"
done
units="etc/systemd/system/bzzz-fabric.service etc/systemd/system/bzzz-agent.service"
{
  (cd / && cat $units)
  tar -xOf /opt/bzzz/install/before/files.tar $units
} 2>/dev/null | sed -n "s|^ExecStart=/opt/bzzz/runtimes/\([^/ ]*\)/.*|runtime-used=\1|p" | sort -u
for mark in /opt/bzzz/install/refused/*; do
  [ -f "$mark" ] && show "refused:${mark##*/}" "$mark"
done
ls -1t /opt/bzzz/releases 2>/dev/null | while read -r name; do
  [ -f "/opt/bzzz/releases/$name/manifest.json" ] && echo "release=$name"
done
true
'

# Files of the release in force that are not as they were unpacked.
section damaged '
cd /opt/bzzz/current/site 2>/dev/null || exit 0
[ -f ../SHA256SUMS ] || exit 0
sha256sum -c --quiet ../SHA256SUMS 2>/dev/null | sed -n "s/: FAILED.*//p" | head -n 100
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
      *) sum=$(as_owner "$1" sha256sum -- "$1") && sum=${sum%% *} || sum=- ;;
    esac
    echo "file $(stat -c "%a %U %G" -- "$1") $sum $1"
  elif [ -e "$1" ]; then echo "other - - - - $1"
  elif [ -x "${1%/*}" ] || [ ! -e "${1%/*}" ]; then echo "absent - - - - $1"
  else echo "unknown - - - - $1"
  fi
}
for path in /opt/bzzz /opt/bzzz/before /opt/bzzz/releases /etc/bzzz /etc/bzzz/secrets "$1" "$1/registry" "$2" \
  /etc/bzzz/agent.yaml /etc/bzzz/node.json \
  /etc/systemd/system/bzzz-fabric.service /etc/systemd/system/bzzz-agent.service \
  /etc/bzzz/secrets/identity.key /etc/bzzz/secrets/node.key /etc/bzzz/secrets/route.key \
  /etc/bzzz/secrets/system.key /etc/bzzz/secrets/system.pem \
  /etc/bzzz/secrets/node-issuer.pem /etc/bzzz/secrets/fabric-issuer.pem \
  /etc/bzzz/secrets/node.pem /etc/bzzz/secrets/node-ca.pem \
  /etc/bzzz/secrets/route.pem /etc/bzzz/secrets/fabric-ca.pem /etc/bzzz/secrets/api-token \
  /etc/bzzz/secrets/ai-api-key /usr/local/bin/bzzz-agent \
  /etc/systemd/system/bzzz-fabric.service.d/50-bzzz-limits.conf \
  /etc/systemd/system/bzzz-agent.service.d/50-bzzz-limits.conf \
  /etc/bzzz/made /etc/bzzz/firewall /etc/systemd/system/bzzz-firewall.service \
  /etc/ssh/sshd_config.d/00-bzzz.conf /etc/bzzz/sshd-unproved /etc/bzzz/release-keys
do look "$path"; done
' "$data" "$logs"

# A directory that becomes ours: what it is now, and which directory above it somebody else than root
# could put something into, a link in the first place; "-" if none. Members of a group are somebody
# else, but for syslog: /var/log is open to it on Ubuntu, and nobody but the daemon of that name is in
# it. What is above is looked at by its name, and by where links lead.
section places '
others() {
  case $(stat -Lc "%u %A %G" -- "$1") in
    0\ ????????w*) return 0 ;;
    0\ ?????w*\ root|0\ ?????w*\ syslog) return 1 ;;
    0\ ?????w*) return 0 ;;
    "0 "*) return 1 ;;
  esac
}
for want in "$@"; do
  said=$want
  want=${want%/}
  at=${want%/*}
  while [ -n "$at" ] && [ ! -e "$at" ]; do at=${at%/*}; done
  open=-
  for path in "$at" "$(readlink -f -- "${at:-/}")"; do
    while [ -n "$path" ] && [ "$path" != / ]; do
      others "$path" && open=$path
      path=${path%/*}
    done
  done
  if [ -L "$want" ]; then state=link
  elif [ ! -e "$want" ]; then state=absent
  elif [ ! -d "$want" ]; then state=other
  elif [ -f "$want/.bzzz-logs" ]; then state=ours
  elif ! first=$(find "$want" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit); then
    state=unknown
  elif [ -n "$first" ]; then state=filled
  else state=empty
  fi
  echo "$state $open $said"
done
' "$data" "$logs"

# Public parts only: requests, certificates, and a configuration that holds references to secrets.
# Of an issuer its certificate alone: the sealed key behind it stays where it is.
for path in /etc/bzzz/agent.yaml /etc/bzzz/node.json /etc/bzzz/secrets/node.pem \
  /etc/bzzz/secrets/route.pem /etc/bzzz/secrets/system.pem \
  /etc/bzzz/secrets/node-issuer.pem /etc/bzzz/secrets/fabric-issuer.pem \
  /opt/bzzz/current/bundle.json
do
  section "content:$path" '
if [ -f "$1" ]; then as_owner "$1" sed "/^-----BEGIN BZZZ SEALED KEY-----/,\$d" "$1"
elif [ -x "${1%/*}" ] || [ ! -e "${1%/*}" ]; then exit 44
else exit 1
fi
' "$path"
done

# Who belongs to the cluster as this node last knew it: public, and binary.
section registry '
if [ -f "$1/registry" ]; then as_owner "$1/registry" base64 "$1/registry"
elif [ -x "$1" ] || [ ! -e "$1" ]; then exit 44
else exit 1
fi
' "$data"

for unit in bzzz-fabric bzzz-agent; do
  section "unit:$unit" '
systemctl show -p LoadState -p ActiveState -p SubState -p UnitFileState -p MainPID -p NRestarts \
  -p NeedDaemonReload "$1.service" || exit 1
# Written by the unit as it starts: where it starts, then what it starts with. A container may hide
# /proc/PID/cwd even from root.
if [ -f "/run/$1/inputs" ]; then
  as_owner "/run/$1/inputs" cat "/run/$1/inputs" | while read -r first path; do
    case $first in
      /*) echo "cwd=$first" ;;
      *) echo "input=$first $path" ;;
    esac
  done
fi
true
' "$unit"
done
