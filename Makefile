# Go 1.26 builds and demonstrates everything; the tests also run the real
# servers of a grid, from the Debian packages in internal/lab/packages.txt.

GO         ?= go
BINARY     := build/x509-credential-helper
TAGS       := -tags urfave_cli_no_docs,nethttpomithttp2
# Packages that only read and write text are not inlined: 3 % off the binary,
# nothing off the speed. Cryptography keeps its inlining, it loses a third.
COMPACT    := $(foreach p,text/... regexp/... encoding/... net/... reflect fmt github.com/...,-gcflags=$(p)=-l)
RELEASE    := -trimpath $(TAGS) $(COMPACT) -ldflags '-s -w'
FUZZTIME   ?= 20000x
FUZZLONG   ?= 30s
ROUNDS     ?= 40
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS  := linux/amd64 linux/arm64 linux/ppc64le darwin/amd64 darwin/arm64 windows/amd64

.PHONY: build demo test race vet staticcheck format fuzz cross bench clean

build:
	CGO_ENABLED=0 $(GO) build $(RELEASE) -o $(BINARY) ./cmd/x509-credential-helper

demo:
	@sh docs/demo.sh

# With every package there, a test that skips the lab is a failure.
test:
	@if .ci/install-packages; then export X509CH_LAB=require; fi; \
	set -x; $(GO) test -timeout 40m $(TAGS) ./...

# -short: smaller herds of processes, see the tests.
race:
	CGO_ENABLED=1 $(GO) test -race -short -timeout 40m $(TAGS) ./...

vet:
	$(GO) vet $(TAGS) ./...
	CGO_ENABLED=0 GOOS=darwin $(GO) vet $(TAGS) ./...
	CGO_ENABLED=0 GOOS=windows $(GO) vet $(TAGS) ./...

staticcheck:
	$(GO) run $(STATICCHECK) $(TAGS) ./...

format:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted:"; echo "$$files"; exit 1; }

# Every fuzz target of every package, shortly; 30 s for those that read what
# comes from outside to package gsi.
fuzz:
	@GO='$(GO)' TAGS='$(TAGS)' FUZZTIME=$(FUZZTIME) FUZZLONG=$(FUZZLONG) .ci/fuzz

cross:
	@for platform in $(PLATFORMS); do \
		echo "$$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build $(RELEASE) \
			-o build/$$platform/ ./cmd/x509-credential-helper || exit 1; \
	done

# Whole processes against the same real servers; writes docs/performance.md.
bench: build
	@.ci/install-packages
	$(GO) run ./internal/lab/bench -binary $(BINARY) -rounds $(ROUNDS) -out docs/performance.md

clean:
	rm -rf build
