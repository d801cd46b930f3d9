#!/usr/bin/env bash
# Fuzzes what the network sends with libFuzzer: every decoder of flows, and what answers probes, for FUZZ_SECONDS each (60
# otherwise), two at a time. Needs a C++ compiler and nothing of a nightly toolchain: LLVM's coverage pass is in the stable
# one. What was found to be new stays in target/fuzz.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v c++ >/dev/null; then
    echo "skipped: fuzzing needs a C++ compiler; install Debian's g++"
    exit 0
fi
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}/fuzz
mkdir -p "$target"
target=$(cd "$target" && pwd)
vectors=${HOLM_VECTORS:-$PWD/../shared/vectors}
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
RUSTFLAGS="$coverage" cargo build --locked --release --manifest-path deploy/fuzz/Cargo.toml --target "$host" --target-dir "$target"
printf 'between="\\xffHOLM\\xff"\n' >"$target/dictionary"

fuzz() {
    local name=$1 corpus="$target/corpus/$1"
    mkdir -p "$corpus"
    python3 deploy/fuzz/seeds.py "$name" "$vectors" "$corpus" || true
    if ! "$target/$host/release/$name" -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=1024 -timeout=10 -max_len=8192 \
        -dict="$target/dictionary" -artifact_prefix="$target/$name-" -print_final_stats=1 "$corpus" >"$target/$name.log" 2>&1; then
        echo "fuzz $name: FAILED; what broke it is $target/$name-*; the log:"
        tail -40 "$target/$name.log"
        return 1
    fi
    local runs covered
    runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$target/$name.log")
    covered=$(grep -o 'cov: [0-9]*' "$target/$name.log" | tail -1)
    echo "fuzz $name: nothing found in $runs runs, ${covered:-no coverage}"
}

failed=0
for pair in "netflow_v5 netflow_v9" "ipfix sflow_5" "packets messages" "certificates"; do
    pids=()
    for name in $pair; do
        fuzz "$name" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
done
exit "$failed"
