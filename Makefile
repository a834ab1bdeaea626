# Everything a developer does has a target here; `make help` lists them.

SHELL := /bin/bash
export SQLX_OFFLINE ?= true

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: packages
packages: ## Install the Debian packages that the product and its tests need
	@deploy/packages.sh

.PHONY: test
test: packages ## Run all tests, on a private PostgreSQL cluster
	tests/with-database.sh tests/run.sh --workspace --no-fail-fast

.PHONY: demo
demo: packages ## Run the main job on real mail nodes; ONCE=1 stops by itself
	cargo build --workspace --bins
	target/debug/demo $(if $(ONCE),--once)

.PHONY: bench
bench: ## Measure side by side; NAME=<name> takes one
	@deploy/packages.sh wrk etcd-server etcd-client
	cargo build --release --workspace --bins
	target/release/umail-bench $(NAME)

.PHONY: openapi
openapi: ## Write the API document
	cargo run -q -p umail-api -- openapi > openapi/umail.json

.PHONY: sqlx
sqlx: packages ## Check every query against a fresh database and write .sqlx
	rm -rf .sqlx && mkdir .sqlx && touch api/src/lib.rs tests/src/lib.rs
	SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/.sqlx tests/with-database.sh cargo check --workspace --all-targets

.PHONY: check
check: packages ## Format, lints, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
