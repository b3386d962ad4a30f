# Processors, memory and disks.

# Without lscpu the first processor in full, and of the others only which core they are.
section cpu '
if command -v lscpu >/dev/null; then
  echo "== lscpu"
  lscpu || exit 1
else
  echo "== cpuinfo"
  sed "/^$/q" /proc/cpuinfo || exit 1
  echo "== ids"
  grep -E "^(processor|physical id|core id)" /proc/cpuinfo
fi
echo "== nodes"
for at in /sys/devices/system/node/node[0-9]*; do
  show "${at##*/}" "$at/cpulist"
done
'

# At the top and where services run. A file that is not there sets no limit.
section cgroup '
at=/sys/fs/cgroup
if [ -f $at/cgroup.controllers ]; then
  echo version=2
  for group in $at $at/system.slice; do
    show cpus $group/cpuset.cpus.effective
    show quota $group/cpu.max
    show memory $group/memory.max
  done
else
  echo version=1
  show cpus $at/cpuset/cpuset.effective_cpus
  for slice in "" /system.slice; do
    show memory $at/memory$slice/memory.limit_in_bytes
    quota=$(show x $at/cpu$slice/cpu.cfs_quota_us)
    period=$(show x $at/cpu$slice/cpu.cfs_period_us)
    [ -n "$quota" ] && echo "quota=${quota#x=} ${period#x=}"
  done
fi
while read -r key value; do
  [ "$key" = Cpus_allowed_list: ] && echo "affinity=$value"
done < /proc/self/status
true
'

section memory '
sed -n -e "/^Swap[TF]/p" -e "/^Huge[pP]/p" /proc/meminfo
'

# Old versions know only one place at which a device is mounted.
section block '
columns=NAME,TYPE,SIZE,ROTA,RO,MODEL,TRAN,FSTYPE
lsblk -bJ -e 1,7 -o $columns,MOUNTPOINTS || lsblk -bJ -e 1,7 -o $columns,MOUNTPOINT
'
