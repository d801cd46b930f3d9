#!/usr/bin/env bash
# Says what a build needs and this machine lacks, and the command that installs it.
set -u
missing=0
need() { # command, what it is, how to get it
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "missing: $2 ($1). Install it: $3" >&2
        missing=1
    fi
}
at_least() { # command's version, wanted, what, how
    if [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" != "$2" ]; then
        echo "too old: $3 is $1, at least $2 is needed. Update it: $4" >&2
        missing=1
    fi
}
need cargo "the Rust toolchain" "see https://rustup.rs"
need cc "a C compiler" "apt-get install gcc libc6-dev"
need node "Node.js" "apt-get install nodejs, or see https://nodejs.org (20.19 or newer)"
need npm "npm" "apt-get install npm, or it comes with Node.js"
need python3 "Python 3 (for the checks)" "apt-get install python3"
[ "$missing" = 0 ] || exit 1
at_least "$(cargo --version | cut -d' ' -f2)" 1.95 "Rust" "rustup update stable"
at_least "$(node --version | tr -d v)" 20.19 "Node.js" "see https://nodejs.org"
exit "$missing"
