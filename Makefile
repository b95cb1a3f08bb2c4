# The project's verbs. `make demo` and `make test` do all their own set-up on a Debian-like machine with cargo.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
export PATH := $(PATH):$(HOME)/.cargo/bin

CARGO := cargo --locked
# The device binary knows nothing of the command line, which is the feature `cli`.
DEVICE := --no-default-features --lib --bin leafcrond

.PHONY: help
help: # what can be made
	@sed -n 's/^\([a-z-]*\):.* # \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand --tabs=16

.PHONY: demo
demo: setup-build # leafcrond for half a minute, killed in the middle, and every due instant accounted for
	$(CARGO) build --bins --example demo
	@$(CARGO) run --quiet --example demo

.PHONY: test
test: setup-test format deny lint tests test-newest-part test-deb test-cross # everything: format, dependencies, lints, both builds, all tests, the package, armv7 by qemu
	@if [ -s "$${CARGO_TARGET_DIR:-target}/not-checked" ]; then cat "$${CARGO_TARGET_DIR:-target}/not-checked"; fi

.PHONY: tests
tests: setup-build
	$(CARGO) test --no-fail-fast

# Debian's nats-server is what the tests run on; the newest one is years ahead of it.
NEWEST_FLEET = server=$$(.ci/newest-nats) && LEAFCRON_NATS_SERVER=$$server $(CARGO) test --test fleet

.PHONY: test-newest
test-newest: setup-build # all tests of a fleet, on the newest nats-server that the package sources offer
	$(NEWEST_FLEET)

.PHONY: test-newest-part
test-newest-part: setup-build
	@$(NEWEST_FLEET) topologies || { code=$$?; [ "$$code" = 3 ] || exit "$$code"; \
	    echo "NOT CHECKED: the newest nats-server. There is none for this machine, or no pip to fetch it." \
	        | tee --append "$${CARGO_TARGET_DIR:-target}/not-checked" >&2; }

.PHONY: test-cross
test-cross: setup-build # the unit tests on armv7, under qemu-user
	cross/test

.PHONY: test-deb
test-deb: setup-build # the package of the debug binaries: built, and looked into; how it lives is `make test-package`
	$(CARGO) build --bins
	BUILT=$${CARGO_TARGET_DIR:-target}/debug LINTIAN=no DPKG_DEB_COMPRESSOR_TYPE=none VERSION=0~debug-1 \
	    cross/deb $$(dpkg --print-architecture)

.PHONY: torture
torture: setup-build # the real agent killed -9 at random, on a sound disk and a full one: no fire lost or doubled; FOR=60s SEED=n
	FOR=$(or $(FOR),60s) $(CARGO) test --test torture

.PHONY: chaos
chaos: setup-build # a device, its leaf node and its hub under every trouble at once, then an account; FOR=60s SEED=n
	CHAOS_FOR=$(or $(FOR),60s) CHAOS_SEED=$(or $(SEED),1) $(CARGO) test --test fleet chaos -- --nocapture

.PHONY: bench
bench: setup-build # the calendar and the store beside their peers; size, memory, wake-ups, lateness, 200 at once; BENCH_IDLE=120s
	$(CARGO) bench --bench calendar --bench store --bench device

.PHONY: many
many: setup-build # so many real agents behind two leaf nodes: to join, to converge, to come back at once; AGENTS=100 QUIET=60s OUTAGE=5s
	AGENTS=$(or $(AGENTS),100) QUIET=$(or $(QUIET),60s) OUTAGE=$(or $(OUTAGE),5s) $(CARGO) bench --bench many

.PHONY: simulate
simulate: setup-build # worlds of bad luck in virtual time, each judged by an independent model; FOR=60s SEED=n STORY=1
	@$(CARGO) run --quiet --profile simulate --example simulate -- \
	    --for $(or $(FOR),60s) $(if $(SEED),--seed $(SEED)) $(if $(SMALL),--small) $(if $(STORY),--story)

.PHONY: simulate-breaks
simulate-breaks: setup-build # the promises broken on purpose, one after the other: the simulator must catch each
	examples/simulate/breaks/run $(BREAKS)

.PHONY: cross
cross: setup-build # both binaries for armv7 and arm64, what they need and how large they are; TARGETS="..."
	cross/build $(TARGETS)

.PHONY: deb
deb: setup-build # Debian packages in target/deb: armhf, arm64, amd64; ARCHITECTURES="..."
	cross/deb $(ARCHITECTURES)

.PHONY: test-package
test-package: setup-build # the package under systemd in a container, installed to purged; ARCHITECTURE=amd64; needs root
	tests/package/run $(or $(ARCHITECTURE),amd64)
	[ "$(or $(ARCHITECTURE),amd64)" != amd64 ] || tests/package/guide

.PHONY: test-arm
test-arm: setup-build # the package on emulated ARM machines under systemd, plugs pulled; ARCHITECTURE STAGES CUTS SEED; root
	@. cross/lib.sh; apt_install qemu-system-arm qemu-system-x86 socat openssh-client e2fsprogs
	ARCHITECTURE=$(or $(ARCHITECTURE),armhf) STAGES="$(STAGES)" CUTS=$(or $(CUTS),30) \
	    $(CARGO) test --test arm

.PHONY: check
check: setup-build # compiles all of it, and the device binary without the command line
	$(CARGO) check --all-targets
	$(CARGO) check $(DEVICE)

.PHONY: lint
# Compiles as `check` does: `make test` needs no `check` beside it.
lint: setup-test # clippy with every warning an error, with and without the command line
	$(CARGO) clippy --all-targets -- --deny warnings
	$(CARGO) clippy --test arm -- --deny warnings
	$(CARGO) clippy $(DEVICE) -- --deny warnings
	@if $(CARGO) tree --no-default-features --edges normal --prefix none | grep '^clap'; then \
	    echo 'the device binary depends on the command line' >&2; exit 1; fi

.PHONY: fmt
fmt: setup-test # formats the sources
	cargo fmt

# What `make test` wants: formatted already.
.PHONY: format
format: setup-test
	cargo fmt --check

.PHONY: deny
deny: setup-test # licences, bans, sources and advisories of the dependencies
	.ci/deny

.PHONY: setup-build setup-test
setup-build:
	@.ci/setup build
setup-test:
	@.ci/setup test
