# Everything a developer does has a target here; `make help` lists them.

SHELL := /bin/bash
export SQLX_OFFLINE ?= true
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: packages
packages: ## Install the Debian packages that the product and its tests need
	@deploy/packages.sh

.PHONY: test
test: packages ## Run all tests
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --workspace --no-fail-fast; \
	 else cargo test --workspace; fi

.PHONY: check
check: ## Format, lints, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
