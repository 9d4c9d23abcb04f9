#!/bin/sh
# Runs the Rust tests on an emulated 64-bit ARM, so that the NEON kernels are run and not only written:
#   scripts/aarch64.sh FOLDER [CPU...]
# FOLDER takes a Rust toolchain for aarch64 (compiler, standard library, linker, emulator) from Debian's packages and
# PyPI, once; the machine's own packages are left alone. The CPUs are by default cortex-a72 (neither dotprod nor i8mm),
# neoverse-n1 (dotprod) and max (both): an instruction that one lacks ends in SIGILL, so a wrong dispatch is caught.
# Correctness only: no ARM speed here. Doctests do not run this way (rustdoc stays the machine's own).
set -eu
W=${1:?usage: aarch64.sh FOLDER [CPU...]}; shift
mkdir -p "$W"; W=$(cd "$W" && pwd)
R=$W/root

setup() {
  mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
  mkdir -p "$W/etc" "$W/lists/partial" "$W/cache/archives/partial" "$W/bin" \
    "$R/usr/bin" "$R/usr/lib" "$R/usr/lib64" "$R/usr/sbin"
  : > "$W/status"
  for l in bin lib lib64 sbin; do ln -sfn "usr/$l" "$R/$l"; done
  cat > "$W/apt.conf" <<C
Dir::State::status "$W/status"; Dir::State::Lists "$W/lists"; Dir::Cache "$W/cache";
Dir::Etc::SourceList "$W/sources.list"; Dir::Etc::SourceParts "$W/none";
Dir::Etc::Parts "$W/etc"; Dir::Etc::PreferencesParts "$W/none";
APT::Architecture "amd64"; APT::Architectures { "amd64"; "arm64"; };
Acquire::Languages "none"; APT::Sandbox::User "root";
C
  echo "deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
    > "$W/sources.list"
  export APT_CONFIG="$W/apt.conf"
  apt-get -qq update
  (cd "$W/cache/archives"
    apt-get -qq download rustc-web:amd64 libstd-rust-web-1.96:amd64 libstd-rust-web-dev:amd64 \
      libstd-rust-web-dev:arm64 libllvm22:amd64 libc6:amd64 libgcc-s1:amd64 libstdc++6:amd64 libz3-4:amd64 \
      libzstd1:amd64 libxml2:amd64 liblzma5:amd64 libedit2:amd64 libtinfo6:amd64 libbsd0:amd64 libmd0:amd64 \
      libffi8:amd64 zlib1g:amd64 libicu76:amd64 libc6:arm64 libgcc-s1:arm64 qemu-user:amd64
    for d in *.deb; do dpkg-deb -x "$d" "$R"; done)
  unset APT_CONFIG
  cat > "$W/bin/rustc" <<C
#!/bin/sh
exec $R/usr/lib64/ld-linux-x86-64.so.2 --library-path $R/usr/lib/x86_64-linux-gnu:$R/usr/lib \
  $R/usr/bin/rustc --sysroot $R/usr "\$@"
C
  # A C compiler that links for aarch64, without the options that it does not know.
  python3 -m venv "$W/venv"
  "$W/venv/bin/pip" install -q ziglang
  cat > "$W/bin/cc" <<C
#!/bin/sh
for a in "\$@"; do
  shift
  case "\$a" in
    -Wl,-O1|-Wl,--as-needed|-lgcc_s|-Wl,-z,noexecstack|--target=*) ;;
    *) set -- "\$@" "\$a" ;;
  esac
done
exec $W/venv/bin/python -m ziglang cc -target aarch64-linux-gnu.2.41 "\$@" -lunwind
C
  chmod +x "$W/bin/rustc" "$W/bin/cc"
  touch "$W/ready"
}

[ -e "$W/ready" ] || setup
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- cortex-a72 neoverse-n1 max
for cpu in "$@"; do
  echo "== $cpu"
  # Clippy's and the machine's own settings of the compiler would not fit this one.
  RUSTC="$W/bin/rustc" RUSTFLAGS= QUANTRAY_TEST_REDUCED=1 \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="$W/bin/cc" \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$R/usr/bin/qemu-aarch64 -cpu $cpu -L $R" \
    cargo test --release --lib --test core --test threads --target aarch64-unknown-linux-gnu \
    --target-dir "$W/target"
done
