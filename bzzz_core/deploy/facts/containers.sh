# Container engines and model servers.

seconds=15
section docker '
command -v docker >/dev/null || exit 0
text=$(docker info --format "{{json .}}")
echo "== info"
printf "%s\n" "$text"
root=${text##*\"DockerRootDir\":\"}
root=${root%%\"*}
if [ -n "$root" ] && [ -d "$root" ]; then
  echo "== root"
  df -Pk "$root" | tail -n 1
fi
case $text in *\"ServerVersion\":\"[0-9]*) ;; *) exit 0 ;; esac
networks=$(docker network ls -q) || exit 0
each="{{.Name}}|{{.Driver}}|{{range .IPAM.Config}}{{.Subnet}} {{end}}"
networks=$(docker network inspect --format "$each" $(echo "$networks" | head -n 300)) || exit 0
echo "== networks"
printf "%s\n" "$networks"
'
seconds=10

section podman '
command -v podman >/dev/null || exit 0
podman --version
'

# Of a process environment nothing but the two names that say where models lie leaves the host.
# A server may hang for as long as each question may take, and there may be many: questions begin in
# the first 12 of the 20 seconds only, and 300,000 bytes of answers are kept of all together. That a
# server was not asked is said, for one that was asked and did not answer is perhaps none.
seconds=20
section ai '
begun=$(date +%s)
bytes=0
in_time() { [ "$(($(date +%s) - begun))" -lt 12 ]; }
command -v ss >/dev/null || exit 1
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
if command -v curl >/dev/null; then
  ask() { curl -q -sf --noproxy "*" -m 3 "$1" | head -c 300001 | tr -d "\r\n"; }
elif command -v wget >/dev/null; then
  ask() { timeout 3 wget -q -t 1 -T 3 -O - "$1" | head -c 300001 | tr -d "\r\n"; }
elif command -v python3 >/dev/null; then
  fetch="import sys, urllib.request as r
opener = r.build_opener(r.ProxyHandler({}))
sys.stdout.buffer.write(opener.open(sys.argv[1], timeout=3).read(300001))"
  ask() { timeout 4 python3 -I -S -c "$fetch" "$1" | tr -d "\r\n"; }
else
  ask() { true; }
fi
learn() {
  in_time || { echo asked=no; return 0; }
  said=$(ask "http://$at:$port/api/$1")
  if [ "$1" = version ]; then
    printf "version=%.1000s\n" "$said"
  elif [ $((bytes + ${#said})) -le 300000 ]; then
    bytes=$((bytes + ${#said}))
    printf "%s=%s\n" "$1" "$said"
  fi
}
for name in ollama parallama; do command -v "$name" >/dev/null && echo "installed=$name"; done
servers=0
ss -Hltnp | while read -r _ _ _ local _ users; do
  case $local$users in *:11434*|*\"ollama*|*\"parallama*) ;; *) continue ;; esac
  servers=$((servers + 1))
  [ $servers -le 16 ] || break
  port=${local##*:}
  address=${local%:*}
  address=${address%%%*}
  case $address in 0.0.0.0|"*"|"[::]") at=127.0.0.1 ;; *) at=$address ;; esac
  echo "== server"
  echo "address=$address"
  echo "port=$port"
  echo "process=$users"
  said=
  learn version
  if [ -n "$said" ]; then
    learn tags
    learn ps
  fi
  pid=${users#*pid=}
  pid=${pid%%,*}
  models=
  home=
  if [ -r "/proc/$pid/environ" ]; then
    models=$(tr "\000" "\n" < "/proc/$pid/environ" | sed -n "s/^OLLAMA_MODELS=//p")
    home=$(tr "\000" "\n" < "/proc/$pid/environ" | sed -n "s/^HOME=//p")
  fi
  for place in "$models" "$home/.ollama/models" /usr/share/ollama/.ollama/models; do
    [ -n "$place" ] && [ -d "$place" ] || continue
    echo "models=$place"
    in_time && echo "space=$(timeout 2 df -Pk "$place" | tail -n 1)"
    break
  done
done
true
'
seconds=10
