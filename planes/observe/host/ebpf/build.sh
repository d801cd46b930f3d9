#!/bin/sh
# Builds the kernel programs of the host plane and writes src/holm-host.bpf.o and the record of what
# it was built from. Called by `make ebpf`; nothing else needs this toolchain: the object is committed.
#
# Needs (Debian): rustc-web rust-web-src libllvm22 llvm-22-dev, and bpf-linker 0.13, which is built
# here into $HOLM_BPF_TOOLS (default: <target>/bpf-tools) when no bpf-linker is on the PATH.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
host=$(dirname -- "$here")
target=${CARGO_TARGET_DIR:-$host/../../../target}
tools=${HOLM_BPF_TOOLS:-$target/bpf-tools}
mkdir -p "$tools"
tools=$(CDPATH='' cd -- "$tools" && pwd)

missing=""
rustc=${HOLM_BPF_RUSTC:-/usr/bin/rustc}
[ -x "$rustc" ] || missing="$missing rustc-web"
[ -x "$rustc" ] && [ ! -d "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library/core" ] &&
    missing="$missing rust-web-src"
llvm=$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | sed -n 's/.*=> \(.*libLLVM\.so\.22\.1\)$/\1/p' | head -n 1)
[ -n "$llvm" ] || missing="$missing libllvm22"
objcopy=$(command -v llvm-objcopy-22 || command -v llvm-objcopy || true)
[ -n "$objcopy" ] || missing="$missing llvm-22-dev"
if [ -n "$missing" ]; then
    echo "build.sh: missing packages:$missing" >&2
    echo "build.sh: install them with: apt-get install$missing" >&2
    exit 1
fi

PATH="$tools/bin:$PATH"
export PATH
if ! command -v bpf-linker >/dev/null; then
    mkdir -p "$tools/llvm"
    ln -sf "$llvm" "$tools/llvm/libLLVM.so"
    echo "build.sh: building bpf-linker 0.13.0 into $tools (once)" >&2
    RUSTFLAGS="-L $tools/llvm" cargo install bpf-linker --version 0.13.0 --locked \
        --no-default-features --features llvm-22 --root "$tools"
fi

cd "$here"
# Where things lay on the machine that built it is nobody's business.
remap="--remap-path-prefix=$here=ebpf --remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust=rust"
cargo fetch --locked
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    remap="$remap --remap-path-prefix=$registry=crates"
done
# RUSTC_BOOTSTRAP: -Z build-std needs it on a stable compiler. debuginfo: BTF is made from it.
RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$tools/target" \
    RUSTFLAGS="-C linker=bpf-linker -C debuginfo=2 -C link-arg=--btf $remap" \
    cargo build --release --locked -Z build-std=core --target bpfel-unknown-none

out=$host/src/holm-host.bpf.o
"$objcopy" --strip-debug "$tools/target/bpfel-unknown-none/release/holm-host" "$out"

# What the object was built from, and the object itself: a test compares both.
cd "$host"
sha256sum ebpf/Cargo.lock ebpf/Cargo.toml ebpf/src/event.rs ebpf/src/main.rs src/holm-host.bpf.o \
    >src/holm-host.bpf.sha256
ls -l "$out" >&2
