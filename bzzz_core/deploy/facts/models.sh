# Units of model servers and what setup installed for them. Of a unit's environment nothing but where
# its models lie is printed: others keep keys there.

seconds=15
section models '
room_of() {
  place=$1
  while [ ! -d "$place" ]; do
    above=${place%/*}
    [ -n "$above" ] && [ "$above" != "$place" ] || above=/
    place=$above
  done
  timeout 3 df -Pk "$place" | tail -n 1
}
getent passwd bzzz-models >/dev/null && echo account=yes
echo "space=$(room_of "$1")"
for program in ollama parallama; do
  base=/opt/bzzz/model-servers/$program
  [ -d "$base" ] || continue
  echo "== program $program"
  echo "current=$(readlink "$base/current" || true)"
  ls -1t "$base" | while read -r name; do
    case $name in *.part) continue ;; esac
    [ -f "$base/$name/version" ] && [ ! -L "$base/$name" ] && echo "kept=$name"
  done
done
command -v systemctl >/dev/null || exit 0
systemctl list-unit-files --no-legend --no-pager --plain "ollama*.service" "parallama*.service" |
  head -n 64 | while read -r unit _; do
  echo "== unit $unit"
  systemctl show -p FragmentPath -p ActiveState -p UnitFileState -p NeedDaemonReload -p User \
    "$unit" || exit 1
  fragment=$(systemctl show -p FragmentPath --value "$unit")
  if [ -f "$fragment" ]; then
    sum=$(sha256sum < "$fragment") && echo "unit=${sum%% *}"
    head -n 1 "$fragment" | grep -q "^# Written by bzzz-tui setup" && echo ours=yes
  fi
  began=$(systemctl show -p ExecMainStartTimestamp --value "$unit")
  [ "$(systemctl show -p MainPID --value "$unit")" = 0 ] || [ -z "$began" ] ||
    echo "started=$(date -d "$began" +%s)"
  dropin=/etc/systemd/system/$unit.d/50-bzzz.conf
  if [ -f "$dropin" ]; then
    sum=$(sha256sum < "$dropin") && echo "dropin=${sum%% *}"
    echo "changed=$(stat -c %Y "$dropin")"
    sed -n "s|^ExecStart=/opt/bzzz/model-servers/\([a-z]*\)/.*|program=\1|p" "$dropin"
  fi
  models=$(systemctl show -p Environment --value "$unit" | tr " " "\n" |
    sed -n "s/^OLLAMA_MODELS=//p" | tail -n 1)
  user=$(systemctl show -p User --value "$unit")
  home=$(getent passwd "${user:-root}" | cut -d: -f6)
  models=${models:-$home/.ollama/models}
  echo "models=$models"
  echo "space=$(room_of "$models")"
done
' "$models"
seconds=10
