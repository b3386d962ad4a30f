# How the login may come in. Of its keys only type and number go out: options may hold secrets, and
# what stands in quotes or behind a "#" is no key.

section login '
[ "$(id -u)" = 0 ] || exit 1
user=$1
set -- $2
home=$(getent passwd "$user" | cut -d: -f6)
[ -n "$home" ] || exit 1
echo "user=$user"
echo "home=$home"
peer=${1:-127.0.0.1}
said=$(sshd -T -C "user=$user,host=$peer,addr=$peer,laddr=${3:-127.0.0.1},lport=${4:-22}")
echo "$said" | sed -n -e "s/^passwordauthentication /passwords=/p" \
  -e "s/^kbdinteractiveauthentication /keyboard=/p"
grep -qsiE "^[[:space:]]*Include[[:space:]]+(/etc/ssh/)?sshd_config\.d/" /etc/ssh/sshd_config &&
  echo dropins=yes
listed=$(echo "$said" | sed -n "s/^authorizedkeysfile //p")
for pattern in ${listed:-.ssh/authorized_keys .ssh/authorized_keys2}; do
  [ "$pattern" = none ] && continue
  path=$(echo "$pattern" | sed -e "s|%h|$home|g" -e "s|%u|$user|g" -e "s|%%|%|g")
  case $path in /*) ;; *) path=$home/$path ;; esac
  echo "file=$path"
  [ -f "$path" ] || continue
  grep -v "^[[:space:]]*#" "$path" | sed -e "s/\\\\\"//g" -e "s/\"[^\"]*\"//g" |
    grep -oE "(ssh|ecdsa|sk)-[a-z0-9@.-]+[[:space:]]+[A-Za-z0-9+/]+=*" | head -n 500 |
    sed "s/^/key=/"
done
true
' "$login" "$through"
