# The commands for people and CI. Every target prints what it does; long output goes to
# .cache/*.log and is shown only when something fails.
#
#   make demo    hub, edge, four cameras and three sensors; Ctrl-C ends it
#   make test    everything: Go tests with the race detector, browser tests
#   make smoke   runs the demo automatically: one line of JSON, exit status 0 if all of it worked
#   make build   bin/edge, bin/hub, bin/worker      make lint   golangci-lint
#   make bench   figures as JSON                    make deps   the Debian packages, nothing else
#   make bench-relay  what relaying costs, as JSON
#   make bench-hub  a hub under a town's load, with a million incidents, and two hubs that are killed, on
#                SQLite and PostgreSQL, as JSON (BENCH_HUB="-only load -edges 100" measures less)
#   make bench-console  how long a filter or a search takes on the screen, with a million incidents, as JSON
#                (BENCH_CONSOLE="-incidents 100000" measures with fewer)
#   make torture random faults for TORTURE=120 seconds (SEED=n repeats a plan, FAULTS=a,b only these),
#                then one line of JSON: nothing acknowledged may be lost, doubled or wrong
#   make console builds hub/ui/dist from its sources (dist is committed, so that building a hub needs
#                no Node; where there is none, make fetches one for this folder)
#   make console-test  the console's browser tests alone
#   make screenshots   screenshots of every view into .cache/screenshots
#   make onnxruntime   ONNX Runtime beside the worker, for object models
#   make clean   removes what was built             (demo data and footage stay: rm -r demo-data .cache)
#
# HUB_ADDR=host:port   where the demo's console listens   (127.0.0.1:8080)
# DATA_DIR=folder      where the demo keeps its data      (demo-data)
# DEMO_VIDEO=file      footage for the simulated cameras  (pedestrians from Debian's opencv-doc)
# DEMO_CAMERAS="rtsp://... rtsp://..."   real cameras instead of simulated ones

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := build

HUB_ADDR ?= 127.0.0.1:8080
DATA_DIR ?= demo-data
DEMO_VIDEO ?=
DEMO_CAMERAS ?=
CACHE := .cache
GO ?= go
# A cache for this folder: golangci-lint's shared cache returns findings with paths of other checkouts.
LINT := GOLANGCI_LINT_CACHE=$(CURDIR)/$(CACHE)/golangci-lint $(GO) tool -modfile=.ci/tools.mod golangci-lint

# The packages for building, for running the demo, and for the tests. Debian 12 and Ubuntu 24.04 use the
# same names, except for PostgreSQL and the browser: see the target browser.
POSTGRES := $(if $(shell grep -s '^ID=ubuntu' /etc/os-release),16,15)
BUILD_PACKAGES := gcc g++ pkg-config libopencv-dev libavcodec-dev libavformat-dev libavutil-dev libswscale-dev
DEMO_PACKAGES := ffmpeg $(if $(DEMO_VIDEO)$(DEMO_CAMERAS),,opencv-doc)
TEST_PACKAGES := ffmpeg opencv-doc mosquitto python3-gi gir1.2-gst-rtsp-server-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
	gstreamer1.0-plugins-ugly gstreamer1.0-libav fonts-noto-cjk zbar-tools iproute2 nftables \
	postgresql-$(POSTGRES) postgresql-$(POSTGRES)-postgis-3

.PHONY: build demo smoke test lint bench clean deps deps-build deps-demo deps-test browser go-present programs
.PHONY: console console-check console-test console-browser screenshots node

# $(call install,PACKAGES): installs those that are missing, with one update of the lists.
define install
@if ! command -v apt-get >/dev/null; then \
	echo "No apt-get here: these Debian packages, or what your system calls them, are expected to be installed: $(1)"; exit 0; fi; \
missing=; for p in $(1); do \
	dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
if [ -z "$$missing" ]; then exit 0; fi; \
root=; if [ "$$(id -u)" != 0 ]; then \
	command -v sudo >/dev/null || { echo "Not root and no sudo: run as root: apt-get install$$missing"; exit 1; }; root="sudo"; fi; \
mkdir -p $(CACHE); echo "Installing Debian packages:$$missing (can take minutes)"; \
{ $$root apt-get update -q && \
  $$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; } >$(CACHE)/apt.log 2>&1 || { \
	tail -n 15 $(CACHE)/apt.log; echo "apt-get failed; all of its output is in $(CACHE)/apt.log"; exit 1; }
endef

deps: deps-build deps-demo deps-test

deps-build: go-present
	$(call install,$(BUILD_PACKAGES))

deps-demo:
	$(call install,$(DEMO_PACKAGES))

deps-test: browser
	$(call install,$(TEST_PACKAGES))

# Debian has a package of Chromium. Ubuntu has only a snap, which make does not install without being
# asked. Any Chromium or Chrome works; CHROME=path names one that is not on the PATH.
browser:
	@if [ -n "$${CHROME:-}" ]; then exit 0; fi; \
	for b in chromium chromium-browser google-chrome google-chrome-stable; do if command -v $$b >/dev/null; then exit 0; fi; done; \
	if grep -qs '^ID=ubuntu' /etc/os-release; then \
		echo "The browser tests need Chromium, which Ubuntu has only as a snap: run  sudo snap install chromium"; \
		echo "or install Google Chrome, or name a browser with CHROME=/path/to/it, and start again."; exit 1; fi; \
	$(MAKE) chromium-package

.PHONY: chromium-package
chromium-package:
	$(call install,chromium)

go-present:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or newer is needed and was not found: https://go.dev/dl"; exit 1; }

build: deps-build programs

programs:
	@mkdir -p bin $(CACHE)
	@[ -x bin/worker ] || echo "Building; the first time takes some minutes (SQLite, WebRTC and the OpenCV bindings are compiled)"
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/edge ./edge
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/hub ./hub
	@CGO_ENABLED=1 $(GO) build -trimpath -o bin/worker ./detection/worker
	@echo "Built bin/edge, bin/hub, bin/worker"

demo: build deps-demo
	@exec bin/hub demo --data "$(DATA_DIR)" --listen "$(HUB_ADDR)" --footage $(CACHE)/footage \
		$(if $(DEMO_VIDEO),--video "$(DEMO_VIDEO)") $(foreach c,$(DEMO_CAMERAS),--camera '$(c)')

# A smoke run uses a new data folder and free ports, so that it can run beside a demo.
smoke: build deps-demo browser
	@$(GO) run ./edge/e2e/smoke -programs bin -footage $(CACHE)/footage

UI := hub/ui
PACKAGES := $(UI)/node_modules/.package-lock.json

# The console's tools need a newer Node than Debian 12's own. One on the PATH that is new enough is
# taken; else Debian's npm fetches Node's program as an npm package into .cache, for this folder only.
NODE_VERSION := 22.23.3
NODE_PACKAGE := node-linux-$(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x64)
NODE_BIN := $(CURDIR)/$(CACHE)/node/node_modules/$(NODE_PACKAGE)/bin
NODE_ENOUGH := command -v npm >/dev/null && command -v node >/dev/null && \
	node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || a == 22 && b >= 12 || a == 20 && b >= 19 ? 0 : 1)'
export PATH := $(NODE_BIN):$(PATH)

node:
	@if $(NODE_ENOUGH); then exit 0; fi; $(MAKE) node-fetched

.PHONY: node-fetched npm-package
node-fetched: npm-package
	@echo "No Node 20.19, 22.12 or newer on the PATH: fetching $(NODE_PACKAGE) $(NODE_VERSION) from npm into $(CACHE)/node"
	@mkdir -p $(CACHE)/node; npm install --prefix $(CACHE)/node --no-save --no-audit --no-fund $(NODE_PACKAGE)@$(NODE_VERSION) >$(CACHE)/node.log 2>&1 || { \
		tail -n 15 $(CACHE)/node.log; echo "npm failed; all of its output is in $(CACHE)/node.log"; exit 1; }
	@$(NODE_ENOUGH) || { echo "Node in $(CACHE)/node does not run here; put Node 20.19 or newer on the PATH"; exit 1; }

npm-package:
	@if command -v npm >/dev/null; then exit 0; fi; $(MAKE) npm-installed

.PHONY: npm-installed
npm-installed:
	$(call install,npm)

# npm writes the hidden lock file when it is done: it is older than package-lock.json when that
# has changed since, and missing when an install was cut short.
$(PACKAGES): $(UI)/package-lock.json | node
	@mkdir -p $(CACHE); echo "Installing the console's npm packages, as package-lock.json names them"
	@npm ci --prefix $(UI) --no-audit --no-fund >$(CACHE)/npm.log 2>&1 || { \
		tail -n 15 $(CACHE)/npm.log; echo "npm ci failed; all of its output is in $(CACHE)/npm.log"; exit 1; }
	@touch $@

console: $(PACKAGES)
	@npm run --silent --prefix $(UI) build -- --logLevel warn
	@echo "Built $(UI)/dist; commit it with the sources"

# Types, translations and stores of the console.
console-check: $(PACKAGES)
	@echo "Types and unit tests of the console"
	@npm run --silent --prefix $(UI) check >$(CACHE)/console.log 2>&1 && npm test --silent --prefix $(UI) >>$(CACHE)/console.log 2>&1 || { \
		tail -n 40 $(CACHE)/console.log; echo "All of it is in $(CACHE)/console.log"; exit 1; }

# The console in a browser, with a real hub and real edges; takes some minutes.
console-test: build deps-demo deps-test console-browser
console-browser: $(PACKAGES)
	@echo "The console in a browser: both languages, keyboard, accessibility, ten thousand incidents"
	@GRIDPOST_BIN=$(CURDIR)/bin GRIDPOST_FOOTAGE=$(CURDIR)/$(CACHE)/footage npm run --silent --prefix $(UI) test:browser >$(CACHE)/console-test.log 2>&1 || { \
		tail -n 80 $(CACHE)/console-test.log; echo "All of it is in $(CACHE)/console-test.log"; exit 1; }
	@grep -o '{"figure".*' $(CACHE)/console-test.log || true

# Every view in every size, theme and language. SHOTS="phone dark" takes those alone.
SHOTS ?= all
screenshots: build deps-demo deps-test $(PACKAGES)
	@echo "Taking screenshots of the console into $(CACHE)/screenshots (some minutes)"
	@GRIDPOST_SCREENSHOTS="$(SHOTS)" GRIDPOST_BIN=$(CURDIR)/bin GRIDPOST_FOOTAGE=$(CURDIR)/$(CACHE)/footage npm run --silent --prefix $(UI) test:browser >$(CACHE)/screenshots.log 2>&1 || { \
		tail -n 60 $(CACHE)/screenshots.log; echo "All of it is in $(CACHE)/screenshots.log"; exit 1; }

# SQLite as it was translated from C takes five times the processor time when each of its memory accesses is watched,
# and has its own locks: races are looked for in all other code.
NO_RACE := -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false

test: build deps-demo deps-test console-check onnxruntime
	@echo "Building edge and hub for arm64 without cgo"
	@GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./edge
	@GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./hub
	@echo "Go tests with the race detector, and the browser tests"
	@go=0; CGO_ENABLED=1 GRIDPOST_BIN=$(CURDIR)/bin GRIDPOST_FOOTAGE=$(CURDIR)/$(CACHE)/footage \
		GRIDPOST_ONNXRUNTIME=$(CURDIR)/bin/libonnxruntime.so.1 \
		$(GO) run ./devices/postgresql/with $(GO) test -race $(NO_RACE) -shuffle=on -timeout 20m ./... || go=$$?; \
		$(MAKE) console-browser && exit $$go

# The shared library is inside the npm package; 113 MB come for 46 that stay.
ONNXRUNTIME := onnxruntime-node@1.30.0
ARCH = $(subst aarch64,arm64,$(subst x86_64,x64,$(shell uname -m)))
onnxruntime: bin/libonnxruntime.so.1
	@echo "ONNX Runtime is at bin/libonnxruntime.so.1"

bin/libonnxruntime.so.1:
	@command -v npm >/dev/null || $(MAKE) npm-package
	@mkdir -p bin; echo "Fetching $(ONNXRUNTIME)"
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	npm pack --silent --pack-destination "$$folder" $(ONNXRUNTIME) >/dev/null && \
	tar -xmzf "$$folder"/onnxruntime-node-*.tgz -C bin --strip-components=5 package/bin/napi-v6/linux/$(ARCH)/libonnxruntime.so.1

.PHONY: onnxruntime

lint: deps-build
	@echo "golangci-lint (built from .ci/tools.mod; the first time takes minutes)"
	@$(LINT) run ./...

bench: build deps-demo deps-test
	@$(GO) run ./edge/e2e/bench -programs bin -footage $(CACHE)/footage

BENCH_HUB ?=
bench-hub: build deps-test
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/hubseed ./hub/internal/hubseed
	@$(GO) run ./edge/e2e/hubbench -programs bin $(BENCH_HUB)

.PHONY: bench-hub

# Readings are not looked at, so few are written.
BENCH_CONSOLE ?=
bench-console: build deps-test
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/hubseed ./hub/internal/hubseed
	@$(GO) run ./edge/e2e/hubbench -programs bin -only console -engines sqlite -readings 1000000 $(BENCH_CONSOLE)

.PHONY: bench-console

# The relay alone: viewers, cameras, kbit/s of a camera, frames of a GOP, ms between two viewers who join. Then viewers behind
# bad lines, a minute for each.
RELAY_COSTS := "60 1 4000 50 50" "60 1 4000 250 50" "60 1 4000 50 0" "10 10 4000 50 50" "240 60 2000 50 50"
bench-relay:
	@$(GO) test -c -o bin/relaybench ./hub/internal/relay
	@for run in $(RELAY_COSTS); do set -- $$run; \
	  GRIDPOST_RELAY_COST=$$1 GRIDPOST_RELAY_COST_CAMERAS=$$2 GRIDPOST_RELAY_COST_KBIT=$$3 GRIDPOST_RELAY_COST_GOP=$$4 GRIDPOST_RELAY_COST_JOIN=$$5 \
	  bin/relaybench -test.run '^TestRelayCost$$' -test.v | grep cost_test || exit 1; done
	@GRIDPOST_RELAY_LINES=60 bin/relaybench -test.run '^TestRelayLines$$' -test.v -test.timeout 30m | grep lines_test

.PHONY: bench-relay

# Full disks need root, or sudo without a password, to mount a tmpfs.
TORTURE ?= 120
SEED ?= 0
FAULTS ?=
torture: build deps-test
	@mkdir -p $(CACHE)
	@$(GO) run ./edge/e2e/torture -programs bin -cache $(CACHE) -seconds $(TORTURE) -seed $(SEED) -only "$(FAULTS)"

.PHONY: torture

clean:
	@rm -rf bin
	@echo "Removed bin; kept $(DATA_DIR) and $(CACHE) (footage), which make demo uses again"
