# Sampan. `make` builds; `make help` lists the targets. Needs Go; on Debian, what else is missing is
# installed through apt by the targets that need it (as root).

GO      ?= $(shell command -v go || echo /usr/local/go/bin/go)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PKG     ?= ./...

EMBED   := podruntime/linux/embedded
NAMES   := dns/feed/embedded
DATA    ?= /var/lib/sampan
LDFLAGS := -s -w -X sampan/cluster.Version=$(VERSION)
KUBEVER := -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37

export GOFLAGS ?= -buildvcs=false
# sudo may take Go from the PATH; tests with kubectl take the one that is built here.
export PATH := $(CURDIR)/bin:$(dir $(GO)):$(PATH)

.PHONY: build
build: bin/sampan bin/kubectl ## build bin/sampan (with the helper processes inside) and bin/kubectl

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

# Go decides itself what is out of date, so the binaries are always asked for.
.PHONY: bin/sampan bin/kubectl
bin/sampan: $(EMBED)/pause $(EMBED)/ocirun $(NAMES)/resolver
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/sampan

bin/kubectl:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(KUBEVER)' -o $@ ./cmd/kubectl

.PHONY: $(EMBED)/pause $(EMBED)/ocirun
$(EMBED)/pause:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/pause

.PHONY: $(NAMES)/resolver
$(NAMES)/resolver:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/resolver

# libcontainer is C in part: it needs a C compiler and libseccomp's headers, once, at build time.
$(EMBED)/ocirun: | c-toolchain
	CGO_ENABLED=1 $(GO) build -trimpath -tags 'netgo osusergo seccomp' -ldflags '-s -w -extldflags "-static"' -o $@ ./cmd/ocirun

.PHONY: c-toolchain
c-toolchain:
	@sh .ci/install gcc:gcc libc6-dev:/usr/include/stdio.h libseccomp-dev:/usr/include/seccomp.h pkg-config:pkg-config

.PHONY: up
up: build ## start a cluster in the background (root)
	bin/sampan up --data-dir $(DATA)

.PHONY: down
down: ## stop the cluster and leave no trace in the kernel (root); the data stays
	bin/sampan down --data-dir $(DATA)

.PHONY: shop
shop: build ## start a cluster, build the shop's images and run it (root)
	@sh .ci/install mmdebstrap:mmdebstrap
	bin/sampan up --data-dir $(DATA)
	examples/shop/images/build --sampan bin/sampan --data-dir $(DATA)
	bin/sampan up --data-dir $(DATA) -f examples/shop
	@bin/sampan status --data-dir $(DATA)
	@echo
	@echo "The shop: $$(bin/sampan status --data-dir $(DATA) -o json | sed -n 's,.*"\([0-9.]*:30080\)/TCP".*,http://\1/,p')"

.PHONY: test
test: build ## run every test: unit, race, end to end with real containers, cgroup v2 in a virtual machine (root)
	@sh .ci/install mmdebstrap:mmdebstrap qemu-system-x86:qemu-system-x86_64 busybox-static:/bin/busybox cpio:cpio kmod:depmod etcd-server:etcd
	@GO="$(GO)" .ci/helm
	SAMPAN_E2E=require $(GO) test $(PKG)
	$(GO) test -race $(RACE)
	SAMPAN_E2E=require $(GO) test -tags e2e -count=1 -timeout 30m -v ./e2e

# The packages with goroutines, in what of them needs no root.
RACE := ./store/... ./apiserver/... ./client/... ./controller ./scheduler/... ./node/... ./podruntime ./image/... ./network ./dns/... ./view ./cluster ./internal/pki

.PHONY: unit
unit: ## the tests that need neither root nor tools
	$(GO) test $(PKG)

.PHONY: e2e
e2e: build ## the tests with real containers (root); RUN=name narrows
	@GO="$(GO)" .ci/helm
	SAMPAN_E2E=require $(GO) test -tags e2e -count=1 -timeout 30m -v -run '$(RUN)' ./e2e

.PHONY: bench
bench: build ## measure every figure against the budgets of ARCHITECTURE.md (root)
	$(GO) run ./bench

.PHONY: lint
lint: ## vet, staticcheck, gofmt
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt wants to change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet -tags e2e $(PKG)
	$(GO) tool staticcheck -tags e2e $(PKG)
