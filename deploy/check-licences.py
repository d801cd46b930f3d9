#!/usr/bin/env python3
"""Refuses a dependency whose licence is not one of ours to use, and two versions of a big crate."""

import json
import re
import subprocess
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "Unicode-3.0", "Unlicense", "Zlib",
}
# One version of each of these in the binary: they are big, or two of them would not talk.
SINGLE = {"automerge", "axum", "hyper", "libp2p-core", "libp2p-swarm", "prost", "quinn", "redb", "ring", "rustls", "tokio"}


def allowed(expression: str) -> bool:
    """SPDX: every part of an AND, any part of an OR."""
    expression = expression.replace("/", " OR ").strip()
    while expression.startswith("(") and expression.endswith(")") and expression.count("(") == 1:
        expression = expression[1:-1].strip()
    if expression in ALLOWED:
        return True
    for operator, combine in ((" OR ", any), (" AND ", all)):
        depth, parts, start = 0, [], 0
        for match in re.finditer(r"[()]|" + operator, expression):
            if match.group() == "(":
                depth += 1
            elif match.group() == ")":
                depth -= 1
            elif depth == 0:
                parts.append(expression[start:match.start()])
                start = match.end()
        if parts:
            parts.append(expression[start:])
            return combine(allowed(part) for part in parts)
    return False


def main() -> None:
    out = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"],
        check=True, capture_output=True, text=True,
    ).stdout
    packages = json.loads(out)["packages"]
    bad = [f"{p['name']} {p['version']}: licence {p['license']!r} is not on the list"
           for p in packages if not allowed(p["license"] or "")]
    seen: dict[str, str] = {}
    for package in packages:
        name = package["name"]
        if name in SINGLE and seen.setdefault(name, package["version"]) != package["version"]:
            bad.append(f"{name}: versions {seen[name]} and {package['version']}; one is enough")
    for line in bad:
        print(line, file=sys.stderr)
    if bad:
        sys.exit(1)
    print(f"licences: {len(packages)} packages, all on the list")


main()
