#!/usr/bin/env python3
"""Holds the crates' dependencies to the directions of docs/architecture.md: arrows point down only,
and a plane never names another plane."""

import json
import os
import subprocess
import sys

# A crate may depend on crates of a lower number, and on these of its own number.
LAYERS = {
    "crdt/model": 0,
    "deploy/bench": 0,
    "sim/chaos": 0,
    "deploy/fuzz": 7,
    "certs": 1,
    "crdt/moment": 1,
    "crdt/graph": 2,
    "crdt/replica": 3,
    "mesh/proto": 3,
    "planes/asn": 3,
    "planes/events": 3,
    "mesh/link": 4,
    "planes/plane": 4,
    "planes/policy": 4,
    "planes/query": 4,
    "planes/signed": 4,
    "planes/observe": 5,
    "planes/observe/browser": 4,
    "planes/explain": 5,
    "consoles": 6,
    "node": 7,
    "sim": 7,
}


def layer(folder: str) -> int:
    best = max((k for k in LAYERS if folder == k or folder.startswith(k + "/")), key=len, default=None)
    if best is None:
        sys.exit(f"{folder}: has no layer; add it to deploy/check-arrows.py")
    return LAYERS[best]


def main() -> None:
    out = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
        check=True, capture_output=True, text=True,
    ).stdout
    metadata = json.loads(out)
    root = metadata["workspace_root"]
    packages = {p["name"]: os.path.relpath(os.path.dirname(p["manifest_path"]), root) for p in metadata["packages"]}
    wrong = []
    for package in metadata["packages"]:
        here = packages[package["name"]]
        for dependency in package["dependencies"]:
            there = packages.get(dependency["name"])
            # Tests may look anywhere.
            if there is None or dependency["kind"] == "dev":
                continue
            if layer(there) >= layer(here):
                wrong.append(f"{here} -> {there}")
    for arrow in wrong:
        print(f"arrow points up or across: {arrow}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"arrows: {len(packages)} crates, all point down")


main()
