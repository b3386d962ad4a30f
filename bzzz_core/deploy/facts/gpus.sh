# Cards, and what their vendors' tools say.

# By PCI alone: a tool on the PATH says nothing about a card in the machine.
section gpu '
if [ -d /sys/bus/pci/devices ]; then
  for device in /sys/bus/pci/devices/*; do
    [ -r "$device/class" ] || continue
    read -r class < "$device/class"
    case $class in
      0x03*|0x1200*)
        read -r vendor < "$device/vendor"
        read -r id < "$device/device"
        line="${device##*/} $vendor $id $class"
        [ -r "$device/numa_node" ] && read -r numa < "$device/numa_node" && line="$line numa=$numa"
        while read -r said; do
          case $said in DRIVER=*) line="$line driver=${said#*=}" ;; esac
        done < "$device/uevent"
        echo "$line"
        ;;
    esac
  done
elif [ ! -d /sys/bus ]; then
  exit 1
fi
# A Jetson board has its card inside the processor, on no bus.
if [ -r /proc/device-tree/compatible ] && grep -qa "nvidia,tegra" /proc/device-tree/compatible; then
  echo "== board"
  echo "model=$(tr -d "\000" < /proc/device-tree/model)"
  for node in /dev/nvhost-gpu /dev/nvgpu; do [ -e "$node" ] && echo device=1 && break; done
fi
true
'

# The tool wakes every card, which may take long; each question is asked only if it has an answer.
# A driver that does not know one field refuses the whole question.
seconds=40
section nvidia '
show module /proc/driver/nvidia/version
command -v nvidia-smi >/dev/null || { echo tool=absent; exit 0; }
echo tool=present
short=uuid,name,pci.bus_id,memory.total,memory.used,driver_version
form=--format=csv,noheader,nounits
held query 15 nvidia-smi "--query-gpu=$short,compute_cap,mig.mode.current" $form
if grep -q "not a valid field" "$kept"; then
  held short 10 nvidia-smi "--query-gpu=$short" $form
fi
[ "$status" = 0 ] || exit 0
count=$(grep -c . "$kept")
divided=$(grep -c "Enabled" "$kept")
[ "$divided" -gt 0 ] && held list 10 nvidia-smi -L
[ "$count" -gt 1 ] && held topology 10 nvidia-smi topo -m
held version 10 nvidia-smi --version
[ "$status" = 0 ] || held banner 10 nvidia-smi
true
'

seconds=25
section amd '
show driver /sys/module/amdgpu/version
show rocm /opt/rocm/.info/version
tool=
for name in amd-smi rocm-smi; do
  [ -z "$tool" ] && command -v "$name" >/dev/null && tool=$name
done
if [ -n "$tool" ]; then echo tool=present; else echo tool=absent; fi
found=
for at in /sys/class/drm/card*; do
  [ -r "$at/device/vendor" ] || continue
  read -r vendor < "$at/device/vendor"
  [ "$vendor" = 0x1002 ] || continue
  found=1
  echo "== card"
  while read -r line; do
    case $line in PCI_SLOT_NAME=*) echo "slot=${line#*=}" ;; esac
  done < "$at/device/uevent"
  show vram_total "$at/device/mem_info_vram_total"
  show vram_used "$at/device/mem_info_vram_used"
  show gtt_total "$at/device/mem_info_gtt_total"
  show unique_id "$at/device/unique_id"
  show name "$at/device/product_name"
done
[ -n "$found" ] || exit 0
for at in /sys/class/kfd/kfd/topology/nodes/*; do
  [ -r "$at/properties" ] || continue
  echo "== node"
  while read -r key value; do
    case $key in
      cpu_cores_count|simd_count|gfx_target_version|location_id|domain) echo "$key=$value" ;;
    esac
  done < "$at/properties"
done
case $tool in
  amd-smi) held amd-smi 10 amd-smi static --json ;;
  rocm-smi) held rocm-smi 10 rocm-smi --showproductname --showbus --showmeminfo vram --json ;;
esac
true
'
seconds=10
