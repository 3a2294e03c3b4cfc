# What people and machines run. Every target says in words what it does; long output goes to
# .cache/*.log and is shown only when something fails.
#
#   make demo    hub, edge, four cameras and three sensors; Ctrl-C ends it
#   make test    everything: Go tests with the race detector, browser tests
#   make smoke   the demo without a person: one line of JSON, exit 0 if all of it worked
#   make build   bin/edge, bin/hub, bin/worker      make lint   golangci-lint
#   make bench   figures as JSON                    make deps   the Debian packages, nothing else
#   make onnxruntime   ONNX Runtime beside the worker, for object models
#   make clean   removes what was built             (demo data and footage stay: rm -r demo-data .cache)
#
# HUB_ADDR=host:port   where the demo's console listens   (127.0.0.1:8080)
# DATA_DIR=folder      where the demo keeps its data      (demo-data)
# DEMO_VIDEO=file      footage for the simulated cameras  (pedestrians out of Debian's opencv-doc)
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
LINT := $(GO) tool -modfile=.ci/tools.mod golangci-lint

# What building needs, what the demo needs to run, and what only tests need. The same names
# hold on Debian 12 and Ubuntu 24.04, but for the browser: see "browser" below.
BUILD_PACKAGES := gcc g++ pkg-config libopencv-dev libavcodec-dev libavformat-dev libavutil-dev libswscale-dev
DEMO_PACKAGES := ffmpeg $(if $(DEMO_VIDEO)$(DEMO_CAMERAS),,opencv-doc)
TEST_PACKAGES := ffmpeg opencv-doc mosquitto python3-gi gir1.2-gst-rtsp-server-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
	gstreamer1.0-plugins-ugly gstreamer1.0-libav fonts-noto-cjk

.PHONY: build demo smoke test lint bench clean deps deps-build deps-demo deps-test browser go-present programs

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

# Debian has Chromium as a package. Ubuntu has it only as a snap, which is not installed
# behind anybody's back; any Chromium or Chrome will do, CHROME=path names one elsewhere.
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

# The data of a smoke run is new each time, its ports are free ones: it runs beside a demo.
smoke: build deps-demo browser
	@$(GO) run ./edge/e2e/smoke -programs bin -footage $(CACHE)/footage

test: build deps-demo deps-test
	@echo "Building edge and hub for arm64 without cgo"
	@GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./edge
	@GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./hub
	@echo "Go tests with the race detector, and the browser tests"
	@CGO_ENABLED=1 GRIDPOST_BIN=$(CURDIR)/bin GRIDPOST_FOOTAGE=$(CURDIR)/$(CACHE)/footage \
		$(GO) test -race -shuffle=on -timeout 15m ./...

# The shared library is inside the npm package; 113 MB come for 46 that stay.
ONNXRUNTIME := onnxruntime-node@1.30.0
ARCH = $(subst aarch64,arm64,$(subst x86_64,x64,$(shell uname -m)))
onnxruntime: build
	@command -v npm >/dev/null || $(MAKE) npm-package
	@echo "Fetching $(ONNXRUNTIME)"
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	npm pack --silent --pack-destination "$$folder" $(ONNXRUNTIME) >/dev/null && \
	tar -xzf "$$folder"/onnxruntime-node-*.tgz -C bin --strip-components=5 package/bin/napi-v6/linux/$(ARCH)/libonnxruntime.so.1
	@echo "ONNX Runtime is at bin/libonnxruntime.so.1"

.PHONY: onnxruntime npm-package
npm-package:
	$(call install,npm)

lint: deps-build
	@echo "golangci-lint (built from .ci/tools.mod; the first time takes minutes)"
	@$(LINT) run ./...

bench: build deps-demo
	@$(GO) run ./edge/e2e/bench -programs bin -footage $(CACHE)/footage

clean:
	@rm -rf bin
	@echo "Removed bin; kept $(DATA_DIR) and $(CACHE) (footage), which make demo uses again"
