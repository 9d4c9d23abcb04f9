#!/usr/bin/env bash
# Runs the Rust tests on an emulated x86-64 CPU that has AVX-512 and AVX-VNNI, whatever the real one has:
#   scripts/avx512.sh FOLDER [CPU...]
# FOLDER takes an emulator (Bochs), a kernel and a shell to boot from Debian's packages, once; the machine's own packages
# are left alone. The CPUs are by default corei7_skylake_x (AVX-512 without VNNI) and sapphire_rapids (with it, and with
# AVX-VNNI, which Intel's laptops have without AVX-512).
# Correctness only: emulated time says nothing about speed.
set -euo pipefail

die() { echo "avx512.sh: $*" >&2; exit 121; }

# A program of the emulator's, by its own loader: the machine's libraries must not leak in.
run() { local p=$1; shift; "$R/usr/lib64/ld-linux-x86-64.so.2" --library-path "$lib" "$R/usr/bin/$p" "$@"; }

setup() {
  local mirror kernel libs d l
  mirror=$(apt-get indextargets --format '$(SITE)' | grep '/debian/*$' | head -n 1 || true)
  [ -n "$mirror" ] || die "no Debian package source is configured here"
  rm -rf "$R" "$W/apt"
  mkdir -p "$W"/apt/{etc,none,lists/partial,cache/archives/partial} "$R"/usr/{bin,lib,lib64,sbin}
  for l in bin lib lib64 sbin; do ln -s "usr/$l" "$R/$l"; done
  : > "$W/apt/status"   # an empty system: the dependencies come out in full
  cat > "$W/apt/apt.conf" <<C
Dir::State::status "$W/apt/status"; Dir::State::Lists "$W/apt/lists"; Dir::Cache "$W/apt/cache";
Dir::Etc::SourceList "$W/apt/sources.list"; Dir::Etc::SourceParts "$W/apt/none";
Dir::Etc::Parts "$W/apt/etc"; Dir::Etc::PreferencesParts "$W/apt/none";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; Acquire::Languages "none"; APT::Sandbox::User "root";
C
  echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
    > "$W/apt/sources.list"
  export APT_CONFIG=$W/apt/apt.conf
  apt-get -qq update
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2}' | head -n 1)
  libs=$(apt-get -qq --print-uris --no-install-recommends install bochs bochs-term xorriso \
    | awk '{split($2, a, "_"); if (a[1] ~ /^lib/) print a[1]}')
  (cd "$W/apt/cache/archives"
    # Unquoted: lists of packages.
    apt-get -qq download bochs bochs-term bochsbios vgabios ncurses-base xorriso isolinux syslinux-common \
      busybox-static "$kernel" $libs
    for d in *.deb; do dpkg-deb -x "$d" "$R"; done)
  unset APT_CONFIG
  mv "$R"/boot/vmlinuz-* "$W/vmlinuz"
  rm -rf "$W/apt" "$R"/usr/lib/modules "$R"/boot
  touch "$W/ready"
}

# Boots a kernel whose first program is BINARY; its output and its exit status come through.
emulate() {
  local bin T I pid t1 t2 status why end name arrow path rest v
  bin=$(realpath "$1"); shift
  T=$(mktemp -d "$W/run-XXXXXX")
  pid=
  trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$T"' EXIT
  # The guest's file system: a shell, the program, the libraries it names, a start script.
  I=$T/files
  mkdir -p "$I"/{bin,dev,proc,sys,tmp,lib} "$I$PWD" "$I$(dirname "$bin")"
  cp "$R/usr/bin/busybox" "$I/bin/"
  cp -L "$bin" "$I$bin"
  ldd "$bin" | while read -r name arrow path rest; do
    case "$name $arrow" in
      /*' ('*) mkdir -p "$I$(dirname "$name")"; cp -L "$name" "$I$name" ;;   # the loader
      *' =>') cp -L "$path" "$I/lib/$(basename "$name")" ;;
    esac
  done
  {
    for v in QUANTRAY_TEST_REDUCED RUST_BACKTRACE CARGO_MANIFEST_DIR; do
      printf 'export %s=%q\n' "$v" "${!v-}"
    done
    printf 'export HOME=/tmp TMPDIR=/tmp LD_LIBRARY_PATH=/lib\ncd %q\nexec %q' "$PWD" "$bin"
    [ $# -eq 0 ] || printf ' %q' "$@"
    echo
  } > "$I/start"
  cat > "$I/init" <<'G'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys
# Pipes, so that the program does not see a terminal and what it writes arrives unchanged.
for p in 1 2; do
  $b stty -F /dev/ttyS$p raw 115200
  $b mkfifo /fifo$p
  $b cat /fifo$p > /dev/ttyS$p &
done
$b sh /start < /dev/null > /fifo1 2> /fifo2
r=$?
wait
echo "guest-exit-status=$r." > /dev/ttyS0
$b sleep 1
$b poweroff -f
G
  chmod +x "$I/init" "$I$bin"
  mkdir "$T/iso"
  (cd "$I" && "$R/usr/bin/busybox" find . | "$R/usr/bin/busybox" cpio -o -H newc 2>/dev/null) > "$T/iso/initrd"
  cp "$W/vmlinuz" "$T/iso/linux"
  cp "$R/usr/lib/ISOLINUX/isolinux.bin" "$R/usr/lib/syslinux/modules/bios/ldlinux.c32" "$T/iso/"
  cat > "$T/iso/isolinux.cfg" <<C
default l
label l
  kernel linux
  initrd initrd
  append console=ttyS0 quiet nokaslr tsc=reliable no_timer_check mitigations=off nosmp lpj=1000000 random.trust_cpu=on edd=off no5lvl clearcpuid=amx_tile oops=panic panic=0
C
  run xorriso -as mkisofs -quiet -o "$T/cd.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table "$T/iso" 2> "$T/xorriso.log" || die "$(cat "$T/xorriso.log")"
  cat > "$T/bochsrc" <<C
config_interface: textconfig
display_library: term
plugin_ctrl: voodoo=0, e1000=0, es1370=0, sb16=0, ne2k=0
romimage: file=$R/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=$R/usr/share/vgabios/vgabios.bin
cpu: model=${AVX512_CPU:-sapphire_rapids}, count=1, ips=25000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1024, host=1024
pci: enabled=1, chipset=i440fx
clock: sync=none
speaker: enabled=0, mode=none
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
ata0: enabled=0
ata1: enabled=1
ata1-master: type=cdrom, path=$T/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$T/console
com2: enabled=1, mode=file, dev=$T/stdout
com3: enabled=1, mode=file, dev=$T/stderr
log: $T/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
C
  echo c > "$T/go"   # Debian's build stops in its debugger first.
  : > "$T/console"; : > "$T/stdout"; : > "$T/stderr"
  # setpriv: the emulator must not outlive this script, however that ends.
  TERM=linux TERMINFO=$R/usr/share/terminfo LTDL_LIBRARY_PATH=$lib/bochs/plugins BXSHARE=$R/usr/share/bochs \
    setpriv --pdeathsig KILL "$R/usr/lib64/ld-linux-x86-64.so.2" --library-path "$lib" "$R/usr/bin/bochs-bin" \
    -q -f "$T/bochsrc" -rc "$T/go" < /dev/null > "$T/screen" 2>&1 &
  pid=$!
  tail -q -n +1 -s 0.2 --pid=$pid -f "$T/stdout" & t1=$!
  tail -q -n +1 -s 0.2 --pid=$pid -f "$T/stderr" >&2 & t2=$!
  end=$((SECONDS + 1800)) status= why=
  while [ -z "$status" ]; do
    sleep 0.2
    status=$(sed -n 's/.*guest-exit-status=\([0-9]*\)\..*/\1/p' "$T/console" | tail -n 1)
    [ -z "$status" ] || break
    if grep -q 'Kernel panic' "$T/console"; then why="the guest's kernel panicked"; fi
    if ! kill -0 "$pid" 2>/dev/null; then why="the emulator ended early"; fi
    if [ $SECONDS -ge $end ]; then why="no end within half an hour"; fi
    if [ -n "$why" ]; then status=121; fi
  done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  pid=
  wait "$t1" "$t2" || true
  [ -z "$why" ] || { echo "avx512.sh: $why"; tail -n 15 "$T/console"; tail -n 5 "$T/bochs.log" || true; } >&2
  exit "$status"
}

[ $# -gt 0 ] || die "usage: avx512.sh FOLDER [CPU...]"
mkdir -p "$1"; W=$(cd "$1" && pwd); shift
R=$W/root; lib=$R/usr/lib/x86_64-linux-gnu
# As Cargo's runner: the program and its arguments follow.
[ -z "${AVX512_CPU:-}" ] || { emulate "$@"; exit; }
[ -e "$W/ready" ] || setup
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- corei7_skylake_x sapphire_rapids
for cpu in "$@"; do
  echo "== $cpu"
  export AVX512_CPU=$cpu QUANTRAY_TEST_REDUCED=1 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/scripts/avx512.sh $W"
  cargo test --release --lib --target-dir "$W/target"
  # The others take too long here.
  cargo test --release --test core --target-dir "$W/target" -- --skip conv:: --skip recurrent:: --skip display::
done
