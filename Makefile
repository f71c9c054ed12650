# SPDX-License-Identifier: MIT

# One static binary: host tool and guest init.
export CGO_ENABLED = 0

FUZZTIME ?= 10s
RACETIME ?= 20s
BASE ?= 7.2
SHELL = /bin/sh

.DEFAULT_GOAL := help
.PHONY: bench reports experiments test lint fuzz soak kernel races series-test series-check clean help prerequisites bin/wqfan

bench: prerequisites bin/wqfan ## run the quick matrix in guests; plots and report land in reports/local/
	bin/wqfan run

reports: bin/wqfan ## make the committed reports again, offline, from their raw data
	@set -e; for run in $$(git ls-files 'reports/*run.json'); do bin/wqfan report "$${run%/run.json}"; done

experiments: prerequisites bin/wqfan ## measure again what wqfan compare finds: 100 boots
	scripts/experiments

test: prerequisites lint kernel ## lint, build the kernels, run all tests, those in guests too
	promtool=$$(scripts/promtool); PATH="$$PATH$${promtool:+:$$promtool}" WQFAN_KERNEL=$$(bin/wqfan kernel path) go test -timeout 30m ./...

lint: ## gofmt, vet, staticcheck
	@files=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$files" ]; then echo "not formatted by gofmt:" $$files >&2; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@set -e; for p in $$(go list ./...); do \
		list=$$(go test -list '^Fuzz' $$p); \
		for f in $$(echo "$$list" | grep '^Fuzz'); do \
			echo "$$p $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

soak: prerequisites bin/wqfan ## wqfan monitor through ten million errors in a guest: is its memory flat, its account closed
	bin/wqfan kernel build
	WQFAN_SOAK=10000000 go test -v -count 1 -timeout 3h -run '^TestSoak' ./monitor

kernel: prerequisites bin/wqfan ## build the kernels that test and bench boot, unless they are in the cache
	bin/wqfan kernel build --variant patched,base,stock,kunit

races: prerequisites bin/wqfan ## the series' tests under KASAN and lockdep, each race for RACETIME (20s)
	bin/wqfan kernel build --variant debug
	go test -timeout 24h -run '^TestDebug$$' ./kernel-patches -v -races $(RACETIME)

series-test: prerequisites bin/wqfan ## build and test each patch's kernel, and look before and with it for what it is for
	scripts/prerequisites checkpolicy:checkpolicy
	bin/wqfan kernel build --variant patched,stock,kunit,lsm
	bin/wqfan kernel build --variant debug
	go test -timeout 24h -run '^Test(SELinux|Smack|Series|Undo)$$' ./kernel-patches -v -series

series-check: prerequisites bin/wqfan ## how each patch fares on BASE (7.2): a version, a directory or a tarball
	bin/wqfan kernel check $(BASE)

clean: ## remove the binary; the kernels stay (bin/wqfan kernel clean)
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

prerequisites:
	@scripts/prerequisites

bin/wqfan:
	@go build -buildvcs=auto -trimpath -ldflags "-s -w" -o $@ ./cmd/wqfan
