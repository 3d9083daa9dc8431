# `make help` lists the targets. What they need beyond Go, Python 3.11 and git they install
# themselves, into .tools and .venv.
.DEFAULT_GOAL := help
.NOTPARALLEL:

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PYTHON   ?= python3
FUZZTIME ?= 20s

LINT_VERSION := v2.15.0
LINT := .tools/golangci-lint-$(LINT_VERSION)
PROTOGO := .tools/protoc-gen-go-v1.36.12
PROTOGRPC := .tools/protoc-gen-go-grpc-v1.6.1

REQUIREMENTS := python/requirements-test.txt
VENV := .venv/installed-$(shell sha256sum $(REQUIREMENTS) | cut -c1-16)
PY   := $(CURDIR)/.venv/bin/python
KEYSERVERS := .venv-keys/installed-$(shell sha256sum python/requirements-keys.txt | cut -c1-16)
MLFLOW2 := .venv-mlflow2/installed-$(shell sha256sum python/requirements-mlflow2.txt | cut -c1-16)
MLFLOW3 := .venv-mlflow3/installed-$(shell sha256sum python/requirements-mlflow3.txt | cut -c1-16)
BENTOML := .venv-bentoml/installed-$(shell sha256sum bench/serving/bentoml.txt | cut -c1-16)
MLSERVER := .venv-mlserver/installed-$(shell sha256sum bench/serving/mlserver.txt | cut -c1-16)
CLIENTS := .venv-clients/installed-$(shell sha256sum python/requirements-clients.txt | cut -c1-16)

# The packages whose tests match a pattern.
packages = $(shell git grep --untracked -lE '$(1)' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/platform and bin/platform-onnx
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/platform ./cmd/platform-onnx

.PHONY: onnxruntime
onnxruntime: bin/libonnxruntime.so.1 ## get the library that serves ONNX models

.PHONY: demo
demo: build ## watch a broken model being caught and rolled back
	bin/platform demo

.PHONY: test
test: vet lint unit race foreign ## everything that must hold before a change lands

.PHONY: vet
vet: ## run go vet
	go vet ./...

.PHONY: lint
lint: $(LINT) ## run the linters of .golangci.yml
	$(LINT) run ./...

.PHONY: unit
unit: $(VENV) $(KEYSERVERS) browser ## run the Go tests
	go test -timeout 20m ./...

# The pages of signing in are looked at in a real browser where one can be had.
.PHONY: browser
browser: ## install Chromium, on a Debian machine and by its root
	@command -v chromium >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium) >/dev/null 2>&1 || \
		echo "Chromium cannot be installed: the tests that need it are skipped"

.PHONY: race
race: $(VENV) ## run the Go tests with the race detector
	go test -race -timeout 20m ./...

.PHONY: foreign
foreign: build $(VENV) $(MLFLOW2) $(MLFLOW3) $(CLIENTS) ## call a running platform with clients that others wrote
	PLATFORM=$(CURDIR)/bin/platform $(PY) -m pytest -q python --ignore python/registry --ignore python/conformance
	PLATFORM=$(CURDIR)/bin/platform .venv-clients/bin/python -m pytest -q -p no:cacheprovider python/conformance
	@export PLATFORM=$(CURDIR)/bin/platform; test='-m pytest -q --disable-warnings -p no:cacheprovider python/registry'; \
		.venv-mlflow2/bin/python $$test & .venv-mlflow3/bin/python $$test; three=$$?; wait $$! && exit $$three

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME (20s)
	@git grep --untracked -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's|/[^/]*:func | |' | while read -r dir name; do \
		echo "$$dir $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$dir" || exit 1; done

.PHONY: verify
verify: $(VENV) proto ## make goldens and generated files again; fail on a difference
	go test -count=1 $(call packages,flag[.]Bool."update") -update
	$(PY) templates/xgboost/train.py --demo templates/demo
	git diff --exit-code

.PHONY: proto
proto: $(CLIENTS) $(PROTOGO) $(PROTOGRPC) ## generate the messages of gRPC from their description
	cd internal/gateway/openinference/pb && $(CURDIR)/.venv-clients/bin/python -m grpc_tools.protoc -I . \
		--plugin=protoc-gen-go=$(CURDIR)/$(PROTOGO) --go_out=. --go_opt=paths=source_relative \
		--plugin=protoc-gen-go-grpc=$(CURDIR)/$(PROTOGRPC) --go-grpc_out=. --go-grpc_opt=paths=source_relative openinference.proto

.PHONY: conformance-mlserver
conformance-mlserver: build $(CLIENTS) $(MLSERVER) ## hold MLServer against the Open Inference Protocol, into docs/CONFORMANCE.md
	.venv-clients/bin/python python/conformance/beside.py --mlserver .venv-mlserver/bin/mlserver --platform bin/platform --out docs/CONFORMANCE.md

.PHONY: soak
soak: ## run the long simulations (about 10 minutes)
	go test -count=1 -v -timeout 3h -tags soak -run '^TestSoak' $(call packages,^//go:build soak)

.PHONY: wheel
wheel: $(VENV) ## build the wheels of the program and the SDK into dist
	$(PY) python/wheel/build.py --version $(VERSION) --out dist

.PHONY: crash
crash: ## kill the server at 300 of its changes, and 100 processes under load (about 10 minutes)
	CGO_ENABLED=0 go test -count=1 -v -timeout 1h -run 'TestKillPoints|TestRandomKills' ./cmd/platform -killpoints 300 -kills 100
	go test -count=1 -v -timeout 1h -run TestKills ./internal/app/audit -auditkills 200

.PHONY: bench-core
bench-core: build ## measure starting, rollback and recovery on this machine
	go run ./bench/core

.PHONY: bench-serving
bench-serving: build $(VENV) $(MLSERVER) $(MLFLOW3) $(BENTOML) ## measure serving beside MLServer, MLflow, BentoML and nginx
	@command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nginx-light) >/dev/null
	PATH=$(CURDIR)/.venv/bin:$$PATH go run ./bench/serving

.PHONY: bench-trust
bench-trust: build ## measure backups and what else protects the platform (20 GiB of disk)
	go run ./bench/trust

.PHONY: bench-registry
bench-registry: build $(MLFLOW3) ## measure MLflow's API beside mlflow server (needs PostgreSQL)
	go run ./bench/registry

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf bin dist .tools .venv .venv-keys .venv-mlflow2 .venv-mlflow3 .venv-clients .venv-mlserver .venv-bentoml coverage.out

$(LINT):
	GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .tools/golangci-lint $@

$(PROTOGO):
	GOBIN=$(CURDIR)/.tools go install google.golang.org/protobuf/cmd/protoc-gen-go@$(@:.tools/protoc-gen-go-%=%)
	mv .tools/protoc-gen-go $@

$(PROTOGRPC):
	GOBIN=$(CURDIR)/.tools go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(@:.tools/protoc-gen-go-grpc-%=%)
	mv .tools/protoc-gen-go-grpc $@

$(KEYSERVERS): python/requirements-keys.txt
	rm -rf .venv-keys
	$(PYTHON) -m venv .venv-keys
	.venv-keys/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# uv links the files that environments share, and takes a tenth of pip's time.
$(MLFLOW2) $(MLFLOW3) $(CLIENTS): | $(VENV)
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	.venv/bin/uv pip install --quiet --python $(@D)/bin/python -r python/requirements-$(@D:.venv-%=%).txt
	touch $@

$(MLSERVER) $(BENTOML): | $(VENV)
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	.venv/bin/uv pip install --quiet --python $(@D)/bin/python -r bench/serving/$(@D:.venv-%=%).txt
	touch $@

# The library lies in the Python package, for both processors of the requirements file.
bin/libonnxruntime.so.1: python/requirements-onnxruntime.txt
	rm -rf .tools/onnxruntime
	$(PYTHON) -m venv .tools/onnxruntime/venv
	.tools/onnxruntime/venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--python-version 3.11 --platform manylinux_2_28_$$(uname -m) -d .tools/onnxruntime -r $<
	cd .tools/onnxruntime && venv/bin/python -m zipfile -e onnxruntime-*.whl wheel
	mkdir -p bin
	cp .tools/onnxruntime/wheel/onnxruntime/capi/libonnxruntime.so.* $@
	rm -rf .tools/onnxruntime

$(VENV): $(REQUIREMENTS)
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	touch $@
