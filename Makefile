# `make` with no argument lists the commands.
.DEFAULT_GOAL := help
SHELL := bash
CARGO ?= cargo
WEB := consoles/web
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOLM := $(TARGET)/debug/holm
# What tests said, where nextest runs them.
TOLD := $(TARGET)/nextest/default/junit.xml
# Browser tests need Debian's Chromium; elsewhere name another with HOLM_CHROMIUM.
export HOLM_CHROMIUM ?= /usr/bin/chromium

.PHONY: help prerequisites console build demo check lint web-check arrows test test-rust test-web e2e bench fuzz sim ebpf openapi clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prerequisites: # names what is missing, and the command that installs it, before anything is built
	@bash deploy/prerequisites.sh

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	cd $(WEB) && npm ci --no-audit --no-fund
	@touch $@

console: prerequisites $(WEB)/node_modules/.package-lock.json ## Build the web console
	cd $(WEB) && npm run --silent build

build: console ## Build the binary with the console in it (quick profile)
	$(CARGO) build --locked -p holm

demo: build ## Three real sites on this machine: a live screen, or without a terminal the unattended story
	$(HOLM) demo

check: prerequisites arrows lint web-check ## What CI runs before the tests: format, lints, docs, licences, arrows, web lint and types

lint: | $(WEB)/dist
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	python3 deploy/check-licences.py
	# A workspace of its own, whose lock file falls behind when a crate that it takes gets a new dependency.
	$(CARGO) metadata --locked --manifest-path deploy/fuzz/Cargo.toml --format-version 1 >/dev/null

$(WEB)/dist:
	mkdir -p $@

arrows: # dependencies point down only (docs/architecture.md)
	python3 deploy/check-arrows.py

web-check: $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run --silent schema:check && npm run --silent types && npm run --silent lint

test: test-web test-rust e2e ## Every test: web, Rust, the demo's story, the console in a browser

test-web: prerequisites $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm test --silent

test-rust: build
	@rm -f $(TOLD)
	if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --locked --workspace; \
	else $(CARGO) test --locked --workspace; fi
	@told=$(TOLD); [ ! -f $$told ] || { echo "Tests that did nothing here, and why:"; \
	grep -oh 'skipped[: ][^<]*' $$told | sort | uniq -c | grep . || echo "  none"; }
	$(HOLM) demo --check
	$(HOLM) demo --check --no-namespaces

e2e: build ## The console in a browser against a real three-site mesh (needs Chromium; says so and passes without)
	HOLM=$(HOLM) bash $(WEB)/e2e/run.sh

bench: build ## Every bench, with its bound; writes target/bench/<name>.json
	# All in one selection: alone, a crate would have other features of what all share, and that built again.
	$(CARGO) build --locked --release -p holm -p holm-sim
	$(CARGO) bench --locked -p holm -p holm-graph -p holm-moment -p holm-replica -p holm-host -p holm-flow -p holm-path -p holm-active -p holm-incident -p holm-alert -p holm-change -p holm-slo -p holm-events -p holm-query --benches
	$(CARGO) test --locked --release -p holm --bin holm a_matrix_of_200_sites -- --nocapture
	$(TARGET)/release/holm-sim bench

fuzz: ## Every decoder of flows under libFuzzer, FUZZ_SECONDS each (60 otherwise)
	bash deploy/fuzz/run.sh

sim: ## The mesh in virtual time: every scenario for a few seeds, with crashes, splits, wrong clocks and liars; base against change
	$(CARGO) run --locked --release -p holm-sim -- short --against sim/base.json

ebpf: ## Rebuild the kernel programs (needs Debian's rustc-web and LLVM 22; docs/planes/host.md)
	bash planes/observe/host/ebpf/build.sh

openapi: build ## Write the OpenAPI document and the console's types from the code
	$(HOLM) openapi > $(WEB)/openapi.json.new && mv $(WEB)/openapi.json.new $(WEB)/openapi.json
	cd $(WEB) && npm run --silent schema

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf $(WEB)/dist $(WEB)/node_modules $(WEB)/test-results
