# make run | test | test-long | test-postgres | check-clients | check-alerts | check-dashboards | observability | lint | bench | loadtest | compare | proof | help

.PHONY: help run setup test test-long test-postgres check-clients check-migration check-alerts check-alerts-live check-dashboards check-deploy check-deploy-hosts observability lint openapi deny bench loadtest compare proof clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

run: ## Build and start the server on ./data
	cargo run --release

setup: ## Install what the tests need and this machine lacks
	@scripts/setup

test: setup ## Run every test, on SQLite and on a private Postgres
	OUTSIDE_PYTHON=$(CURDIR)/target/outside/bin/python cargo test --workspace --locked --no-fail-fast

test-long: setup ## Run the tests that take a minute each, such as a node that is paused for 30 s
	cargo test --workspace --locked --no-fail-fast -- --ignored

test-postgres: ## Run the tests that use Postgres on other versions of it: VERSIONS="16 18"
	@scripts/setup --deploy
	@scripts/test-postgres $(VERSIONS)

check-clients: ## Run client and verifier libraries for Java, Go, Node, Python and Rust, nginx and Apache against the server
	@scripts/setup --clients
	@scripts/check-clients

check-migration: ## Move clients from real issuers to this server behind nginx, and back, while clients request tokens
	@scripts/setup
	@cargo build --workspace --locked --bin oauth2_server
	@scripts/check-migration

check-alerts: ## Check rules, alerts, their tests, routes and runbooks
	@scripts/setup --observability
	@scripts/check-alerts

check-alerts-live: ## Cause each fault on a real server and check which alerts fire; writes docs/alerts.md
	@scripts/setup --observability
	@scripts/check-alerts --live

check-dashboards: ## Check the Grafana dashboards: source, types, rules, and every query against Prometheus and a server under load
	@scripts/setup --observability
	@scripts/check-dashboards

observability: ## Generate alerts/*.yaml and grafana/json from Jsonnet
	@scripts/setup --observability
	@scripts/observability/generate

check-deploy: ## Exercise what is under deploy/ with the real programs: proxies, Postgres, backups, containers, Kubernetes, systemd
	@scripts/setup --deploy
	@scripts/check-deploy $(SYSTEMS)

# Four minutes instead of twenty, and no tools that have to be built.
check-deploy-hosts: ## The part of check-deploy that needs only packages of Debian and Python: HAProxy, TLS, clients
	@scripts/setup --deploy-hosts
	@scripts/check-deploy haproxy tls clients

lint: ## Formatting and lints, as they must be
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

openapi: ## Generate docs/openapi.json from the code
	cargo run --locked -- openapi > docs/openapi.json

deny: ## Licences, sources, duplicates and advisories of the dependencies (needs cargo-deny)
	cargo deny check

bench: ## Measure throughput, latency, memory and start, as ratios in one run
	scripts/bench

loadtest: ## Load a server of its own, or yours by BASE_URL, with k6: PROFILE=smoke STORE=sqlite; see loadtest/README.md
	@loadtest/run.sh

compare: ## Load another server and ours in turn: PEER=hydra; see loadtest/peers/README.md
	@loadtest/peers/compare $(PEER)

proof: ## Run load, chaos, alerts and benchmark here, and write proof/index.html
	@scripts/setup
	@scripts/setup --observability
	@scripts/proof

clean: ## Remove what was built
	cargo clean
