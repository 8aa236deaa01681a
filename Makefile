# Everything here sets up what it needs, is quiet when nothing is left to do, and
# goes on where an interrupted run stopped.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
C_FILES := $(wildcard chaoskernel/bpf/*.[ch] chaoskernel/bpf/logic/*.h benchmarks/guest/*.c experiments/*.c tools/cluster/*.c)
DOCUMENTS := $(wildcard *.md docs/*.md docs/decisions/*.md)
OBJECTS := $(foreach machine,x86_64 aarch64,chaoskernel/bpf/inject.$(machine).bpf.o)
DEMO := build/demo

FIGURES := docs/figures

# A distribution's own kernels, by the packages that have them.
STOCK := linux-image-amd64 linux-image-6.12-amd64
ON_STOCK := $(STOCK:%=test-on-%)
HOOKS_ON_STOCK := $(STOCK:%=test-hooks-on-%)

.PHONY: demo demo-arm64 demo-explore report-demo docs-figures icicle demo-stock cluster ready-for-cluster bench bench-arm64 bench-explore bench-scale bench-work study check fuzz lab lab-without-btf image image-slim packages format clean root \
	test test-agent test-arm64 test-arm64-lab test-arm64-stock test-bcc test-cluster test-contract test-core test-explore test-first-experiment test-injection test-mixed-nodes test-newer test-newest test-node \
	test-stock-node \
	test-packaging test-report test-slow \
	test-stock test-without-btf $(ON_STOCK) $(HOOKS_ON_STOCK)

demo: $(READY) lab
	@mkdir -p $(DEMO)
	@$(BIN)/chaoskernel lab run --rw $(DEMO) --timeout 600 -- \
		$(BIN)/chaos --no-version-check --no-log-file \
		run --journal-path $(DEMO)/journal.json experiments/mount-enomem.json
	@$(BIN)/chaoskernel summary $(DEMO)/journal.json --svg $(DEMO)/demo.svg
	@$(BIN)/python -m tools.figure $(DEMO)/demo.svg $(FIGURES)/demo.svg

# The same on a kernel as it comes from Debian: nothing of it is compiled.
demo-stock: $(OBJECTS)
	@mkdir -p $(DEMO)
	@$(BIN)/chaoskernel lab run --package $(firstword $(STOCK)) --rw $(DEMO) --timeout 600 -- \
		$(BIN)/chaos --no-version-check --no-log-file \
		run --journal-path $(DEMO)/stock.json experiments/stock-demo.json
	@$(BIN)/chaoskernel summary $(DEMO)/stock.json

# The first one in an emulated arm64 machine; its kernel is built at the first time.
demo-arm64: $(OBJECTS)
	@mkdir -p $(DEMO)
	@tools/packages tools/lab/packages.txt
	@tools/packages tools/lab/arm64.txt
	@tools/packages tests/kernels/packages.txt
	@$(BIN)/chaoskernel lab build $(KERNEL_ARM64)
	@$(BIN)/chaoskernel lab run $(KERNEL_ARM64) --rw $(DEMO) --timeout 900 -- \
		chaos --no-version-check --no-log-file \
		run --journal-path $(DEMO)/arm64.json experiments/mount-enomem.json
	@$(BIN)/chaoskernel summary $(DEMO)/arm64.json

# What SQLite does not survive, in two minutes; status 3 says that something was found.
SQLITE := sqlite3 db 'create table t(x); insert into t values(1), (2); select count(*) from t; vacuum'
INTACT := test ! -e db || sqlite3 db 'pragma integrity_check' | grep -qx ok

demo-explore: $(READY) lab
	@mkdir -p $(DEMO)
	@rm -rf $(DEMO)/explore.jsonl $(DEMO)/explore.jsonl.lab
	@$(BIN)/chaoskernel explore --lab --budget 2m --state $(DEMO)/explore.jsonl \
		--verify "$(INTACT)" -- $(SQLITE) || [ $$? = 3 ]

# The pages of both demonstrations, to look at.
report-demo: demo demo-explore
	@$(BIN)/chaoskernel explore --show --json --state $(DEMO)/explore.jsonl >$(DEMO)/explore.json || [ $$? = 3 ]
	@$(BIN)/chaoskernel report $(DEMO)/journal.json -o $(DEMO)/journal.html
	@$(BIN)/chaoskernel report $(DEMO)/explore.json -o $(DEMO)/explore.html

# A picture of each view of these pages, for the documents.
docs-figures: report-demo
	@tools/packages tests/report/packages.txt
	@$(BIN)/python -m tools.screenshots $(DEMO) $(FIGURES)

# What an exploration adds to each run, over SQLite's sites.
bench-explore: lab
	@$(BIN)/chaoskernel lab run --timeout 900 -- $(BIN)/python -m benchmarks.exploration

# What known programs do not survive, on two kernels; an hour or two for all of them.
study: lab
	@tools/packages tools/study/packages.txt
	@$(BIN)/python -m tools.study

# The planted weaknesses on both kinds of kernel, and a guest that is lost.
test-explore: lab
	@$(BIN)/chaoskernel lab run --timeout 10800 $(IN_EXPLORED_LAB) -- $(EXPLORE_PYTEST)
	@$(BIN)/chaoskernel lab run --timeout 10800 $(IN_EXPLORED_LAB) --package $(firstword $(STOCK)) -- \
		$(EXPLORE_PYTEST)
	@$(BIN)/pytest --verbose tests/e2e/test_explore_lab.py

KERNEL_NEWER := --source 6.12 --config tests/kernels/with-hooks.config
KERNEL_ARM64 := --arch arm64 --source 6.12 --config tests/kernels/arm64.config
KERNEL_ARM64_OLDER := --arch arm64 --source 6.1 --config tests/kernels/arm64-64k.config
IN_LAB := --env CHAOSKERNEL_IN_LAB=1 --env CHAOSKERNEL_REQUIRE_LAB=$(CHAOSKERNEL_REQUIRE_LAB)
LAB_PYTEST := $(BIN)/pytest -p no:cacheprovider -p no:hypothesispytest --verbose

# TIMES: how often the planted program is explored; KILLS: how often an exploration is killed.
# One exploration may take longer than pytest waits with its traces.
IN_EXPLORED_LAB := $(IN_LAB) --env CHAOSKERNEL_TIMES=$(or $(TIMES),1) --env CHAOSKERNEL_KILLS=$(or $(KILLS),3)
EXPLORE_PYTEST := $(LAB_PYTEST) -o faulthandler_timeout=0 --exitfirst tests/explore

# Two at a time, each in a virtual machine or namespaces of its own.  With BCC, which takes a
# quarter of a minute to compile each fault, the hooks and the scope are tried here, and all the
# rest by `make test-contract`.  Whole lines, so that the two can be told apart.
TOLD_APART = 2>&1 | sed --unbuffered 's/^/$@: /'
AGENT_TESTS := tests/functional/test_agent.py tests/functional/test_ourselves.py
BCC_TESTS := tests/functional/test_hooks.py tests/functional/test_scope.py
WITHOUT_BTF := --config tests/kernels/without-btf.config
# These boot machines themselves.
ON_THE_HOST := tests/e2e/test_lab.py tests/e2e/test_explore_lab.py tests/e2e/test_cluster.py \
	tests/e2e/test_stock_node.py tests/e2e/test_mixed_nodes.py tests/e2e/test_first_experiment.py \
	tests/e2e/test_arm64.py

# What reaches a program of the C that users write: a hundred thousand hostile texts, compiled.
test-injection: $(OBJECTS)
	@$(BIN)/python -m tests.property.injection --count 100000 --seed $(or $(SEED),1)

test: root check lab ready-for-cluster
	@$(MAKE) --no-print-directory test-slow
	@$(MAKE) --no-print-directory fuzz INPUTS=5000
	@$(MAKE) --no-print-directory test-report
	@$(MAKE) --no-print-directory test-packaging
	@$(BIN)/pytest --verbose tests/e2e/test_lab.py
	@$(MAKE) --no-print-directory --jobs=2 STOCK_TESTS="tests/stock --ignore tests/stock/test_check.py" \
		test-on-$(lastword $(STOCK)) test-agent test-core test-cluster test-bcc \
		test-hooks-on-$(firstword $(STOCK))
	@tools/packages benchmarks/packages.txt
	@$(BIN)/python -m benchmarks --short

# docs/first-experiment.md, command by command: an environment of its own, and three boots of a
# stock kernel.
test-first-experiment: $(OBJECTS)
	@$(BIN)/pytest --verbose --capture=no tests/e2e/test_first_experiment.py

# All of what the engines have in common, with each of them: half an hour.
test-contract: lab
	@$(BIN)/chaoskernel lab run --timeout 5400 $(IN_LAB) -- $(LAB_PYTEST) tests/functional

# The same on a newer kernel; it builds that kernel, and takes as long.
test-newer: $(OBJECTS)
	@tools/packages tools/lab/packages.txt
	@tools/packages tests/kernels/packages.txt
	@$(BIN)/chaoskernel lab build $(KERNEL_NEWER)
	@$(BIN)/chaoskernel lab run --timeout 5400 $(IN_LAB) $(KERNEL_NEWER) -- \
		$(LAB_PYTEST) tests/functional

# A shell with kubectl, in a cluster of processes; it ends with the shell.
cluster: ready-for-cluster
	@$(BIN)/python -m tools.cluster shell

test-cluster: ready-for-cluster
	@$(BIN)/python -m tools.cluster enter -- $(LAB_PYTEST) tests/cluster $(TOLD_APART)

# The page of `chaoskernel report` in a real browser.
test-report: $(READY)
	@tools/packages tests/report/packages.txt
	@$(BIN)/pytest -p no:cacheprovider --verbose tests/report $(TOLD_APART)

# Bundles the library that draws stacks; what it makes is checked in.
icicle:
	@cd tools/icicle && npm ci --silent && npm run --silent build

# Lab machines as nodes of clusters: one with the lab's kernel, one with Debian's.
test-node: lab ready-for-cluster
	@$(BIN)/python -m tools.cluster enter -- $(LAB_PYTEST) tests/e2e/test_cluster.py $(TOLD_APART)

# The same with Debian's own kernel on the node.
test-stock-node: $(OBJECTS) ready-for-cluster
	@$(BIN)/chaoskernel lab build --package $(firstword $(STOCK))
	@$(BIN)/python -m tools.cluster enter -- \
		$(LAB_PYTEST) tests/e2e/test_stock_node.py $(TOLD_APART)

# One fault with a predicate on nodes of two architectures, each with Debian's own kernel.
test-mixed-nodes: $(OBJECTS) ready-for-cluster build/image/chaoskernel-slim-all.tar
	@tools/packages tools/lab/arm64.txt
	@tools/packages tools/cluster/arm64.txt
	@$(BIN)/chaoskernel lab build --package $(lastword $(STOCK))
	@$(BIN)/chaoskernel lab build --arch arm64
	@$(BIN)/python -m tools.cluster build --arch arm64
	@$(BIN)/python -m tools.cluster enter -- \
		$(LAB_PYTEST) tests/e2e/test_mixed_nodes.py $(TOLD_APART)

# A node's namespaces, and its images, are root's to make.
root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

ready-for-cluster: root $(READY)
	@tools/packages tools/cluster/packages.txt
	@$(MAKE) --no-print-directory image-slim
	@$(BIN)/python -m tools.cluster build

# Figures are instructions of an emulated machine: they are the same wherever this runs.
bench: lab build/.bench
	@$(BIN)/python -m benchmarks --repeat 2 --figures $(FIGURES) --text docs/performance.md

# On arm64: two boots of a few minutes, of the lab's own kernel, which is built, and of Debian's.
bench-arm64: build/.bench
	@tools/packages tools/lab/packages.txt
	@tools/packages tools/lab/arm64.txt
	@tools/packages benchmarks/arm64.txt
	@$(BIN)/python -m benchmarks --repeat 5 --only arm64 --only arm64-place --figures $(FIGURES) \
		--text docs/performance.md

# Programs in their work, in four minutes: the other figures stay as they are.
bench-work: lab build/.bench
	@$(BIN)/python -m benchmarks --only work --figures $(FIGURES) --text docs/performance.md

# A real control plane, whose kubelets are played; about six minutes once Kubernetes is built.
bench-scale: build/.bench ready-for-cluster
	@$(BIN)/python -m benchmarks.scale --figures $(FIGURES)

build/.bench: $(READY)
	@tools/packages benchmarks/packages.txt
	@$(BIN)/python -m pip --disable-pip-version-check -qq install --editable '.[bench]'
	@touch $@

test-bcc:
	@$(BIN)/chaoskernel lab run --timeout 3600 $(IN_LAB) -- \
		$(LAB_PYTEST) $(BCC_TESTS) -k "bcc and not kprobe" $(TOLD_APART)

# Where nothing but BCC works: by kprobe, on a kernel without types.  It builds that kernel.
test-without-btf: lab-without-btf
	@$(BIN)/chaoskernel lab run --timeout 3600 $(IN_LAB) $(WITHOUT_BTF) -- \
		$(LAB_PYTEST) tests/without_btf $(BCC_TESTS) \
		tests/functional/test_limits.py tests/functional/test_chain.py \
		-k "without_btf or (bcc and not fmod_ret and not (lock_of or set_mm or setup_arg or is_hot))"

lab-without-btf: $(OBJECTS)
	@tools/packages tools/lab/packages.txt
	@$(BIN)/chaoskernel lab build $(WITHOUT_BTF)

# The wheel and the source distribution, built from a clone and installed; a minute or two.
test-packaging: $(READY)
	@$(BIN)/pytest -q -p no:cacheprovider tests/packaging \
		--ignore tests/packaging/test_images.py --ignore tests/packaging/test_arm64.py

test-core:
	@$(BIN)/chaoskernel lab run --timeout 2400 $(IN_LAB) -- \
		$(LAB_PYTEST) tests/functional $(AGENT_TESTS:%=--ignore %) -k core $(TOLD_APART)

test-agent:
	@$(BIN)/chaoskernel lab run --timeout 3000 $(IN_LAB) -- \
		$(LAB_PYTEST) $(AGENT_TESTS) tests/e2e $(ON_THE_HOST:%=--ignore %) \
		-k "not (test_ourselves and bcc)" $(TOLD_APART)

test-stock: $(ON_STOCK)

# One boot for each kernel.  `make test` leaves out what tries every fault once more.
STOCK_TESTS := tests/stock
$(ON_STOCK): test-on-%: $(OBJECTS)
	@$(BIN)/chaoskernel lab run --timeout 3600 $(IN_LAB) --package $* -- \
		$(LAB_PYTEST) $(STOCK_TESTS) $(TOLD_APART)

# What differs from kernel to kernel; `make test` plays the rest on one of them alone.
$(HOOKS_ON_STOCK): test-hooks-on-%: $(OBJECTS)
	@$(BIN)/chaoskernel lab run --timeout 2400 $(IN_LAB) --package $* -- \
		$(LAB_PYTEST) tests/stock/test_hook_table.py tests/stock/test_named_faults.py \
		-k "not owners" $(TOLD_APART)

# The same on the newest kernel that the distribution has.
test-newest: $(OBJECTS)
	@$(BIN)/chaoskernel lab build --suite unstable
	@$(BIN)/chaoskernel lab run --timeout 3000 $(IN_LAB) --suite unstable -- $(LAB_PYTEST) tests/stock

# Compiled Python is kept, wherever else the user wants none: a third of these tests' time.
check test-slow: export PYTHONDONTWRITEBYTECODE :=
check test-slow: export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache

# On arm64, emulated: what Debian's kernel and what the lab's own have.
test-arm64: test-arm64-stock test-arm64-lab

# The wheel, the hooks and the named faults on Debian's kernel.  It makes a root for the guest.
test-arm64-stock: $(OBJECTS)
	@tools/packages tools/lab/arm64.txt
	@$(BIN)/chaoskernel lab build --arch arm64
	@$(BIN)/pytest -q -p no:cacheprovider tests/packaging/test_arm64.py tests/e2e/test_arm64.py
	@$(BIN)/chaoskernel lab run --arch arm64 --timeout 7200 $(IN_LAB) -- \
		pytest -p no:cacheprovider --verbose tests/stock/test_named_faults.py \
		tests/stock/test_hook_table.py

# What the engine promises, on two kernels that are built: 6.12, and 6.1
# with pages of 64 kB, where there are kprobes alone, and a socket asks for one page at a time.
IN_ARM64 := --timeout 5400 $(IN_LAB) -- pytest -p no:cacheprovider -p no:hypothesispytest --verbose \
	tests/functional $(AGENT_TESTS:%=--ignore %)
test-arm64-lab: $(OBJECTS)
	@tools/packages tools/lab/packages.txt
	@tools/packages tools/lab/arm64.txt
	@tools/packages tests/kernels/packages.txt
	@$(BIN)/chaoskernel lab build $(KERNEL_ARM64)
	@$(BIN)/chaoskernel lab run $(KERNEL_ARM64) $(IN_ARM64) -k "core and not btrfs"
	@$(BIN)/chaoskernel lab build $(KERNEL_ARM64_OLDER)
	@$(BIN)/chaoskernel lab run $(KERNEL_ARM64_OLDER) $(IN_ARM64) \
		-k "core and not btrfs and not fmod_ret and not by_their_order"

# Some tests wait, so there are more processes than cores.
check: $(OBJECTS)
	@mkdir -p build
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >build/imports.log || { cat build/imports.log; false; }
	@$(BIN)/python -m tools.prose $(DOCUMENTS)
	@$(BIN)/pytest --quiet --numprocesses 4 --dist loadfile -m "not slow" tests/unit

# The unit tests that compile or start whole programs, and many examples for the property tests.
test-slow: $(OBJECTS)
	@$(BIN)/pytest --quiet --numprocesses 2 --dist loadfile -m "slow or hypothesis" \
		--hypothesis-profile many tests/unit

# Mutated inputs for everything that reads what others wrote; another SEED makes others.
INPUTS := 200000
SEED := 1

fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --seed $(SEED)

format: $(READY)
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet
	@$(BIN)/clang-format -i $(C_FILES)

lab: $(OBJECTS)
	@tools/packages tools/lab/packages.txt
	@$(BIN)/chaoskernel lab build

# BCC unpacks the headers of a kernel that has them in itself (CONFIG_IKHEADERS) with xz.
BOTH_ENGINES := python3-minimal,python3-bpfcc,libbpf1,kmod,xz-utils
CORE_ALONE := python3-minimal,libpython3-stdlib,libbpf1
AGENT_FILES := $(shell find chaoskernel -name '*.py' -o -name '*.c')

# This machine's architecture, and the others that images are made for.
HERE := $(shell dpkg --print-architecture 2>/dev/null || echo amd64)
THERE := $(filter-out $(HERE),amd64 arm64)

# Both images, each for all architectures under one manifest list.
image: build/image/chaoskernel-all.tar build/image/chaoskernel-slim-all.tar
	@$(BIN)/pytest -q -p no:cacheprovider tests/packaging/test_images.py

image-slim: build/image/chaoskernel-slim.tar

# Without a container engine: the chroot isolation asks for no namespaces of its own.
BUD = buildah bud --quiet --isolation chroot --build-arg VERSION=$$version
IMAGE_OF = version=$$($(BIN)/python -c 'import chaoskernel; print(chaoskernel.__version__)'); \
	tag=localhost/$*:$$version; rm -f $@
IMAGE_FILES := Containerfile .containerignore $(OBJECTS) $(AGENT_FILES)

build/image/%.tar: build/image/%.$(HERE).rootfs $(IMAGE_FILES)
	@$(IMAGE_OF); \
	$(BUD) --build-arg ROOTFS=$< --tag $$tag . >build/image/$*.id; \
	buildah push --quiet $$tag oci-archive:$@:$$tag; \
	echo "$$tag is in $@"

# Nothing of another architecture is run for its image: its root is unpacked, and added.
build/image/%-all.tar: $(foreach arch,$(HERE) $(THERE),build/image/%.$(arch).rootfs) $(IMAGE_FILES)
	@$(IMAGE_OF); list=localhost/$*-all:$$version; \
	buildah manifest rm $$list >/dev/null 2>&1 || true; \
	for arch in $(HERE) $(THERE); do \
		$(BUD) --arch $$arch --build-arg ROOTFS=build/image/$*.$$arch.rootfs \
			--manifest $$list . >build/image/$*.$$arch.id; \
	done; \
	buildah manifest push --quiet --all $$list oci-archive:$@:$$tag; \
	echo "$$tag for $(HERE) and $(THERE) is in $@"

$(foreach arch,$(HERE) $(THERE),build/image/chaoskernel.$(arch).rootfs): WITH := $(BOTH_ENGINES)
$(foreach arch,$(HERE) $(THERE),build/image/chaoskernel-slim.$(arch).rootfs): WITH := $(CORE_ALONE)
NEEDS_IMAGE_TOOLS = command -v buildah mmdebstrap >/dev/null || \
	{ echo "make image needs both: apt-get install buildah mmdebstrap" >&2; exit 1; }
build/image/%.$(HERE).rootfs: Makefile
	@mkdir -p $(@D)
	@$(NEEDS_IMAGE_TOOLS)
	@mmdebstrap --quiet --variant=minbase --include=$(WITH) --format=tar \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' bookworm $@

# As above, but that no package is configured: for Python and libraries that does nothing.
$(foreach arch,$(THERE),build/image/%.$(arch).rootfs): Makefile
	@mkdir -p $(@D)
	@$(NEEDS_IMAGE_TOOLS)
	@mmdebstrap --quiet --variant=extract --architectures=$(THERE) --include=base-files,$(WITH) \
		--format=tar --extract-hook='cd "$$1" && rm -rf usr/share/doc/* usr/share/man/* \
			usr/share/locale/* var/lib/apt/lists/* var/cache/apt/*' bookworm $@

packages:
	@tools/packages

# setup makes them too; here they follow their source.
$(OBJECTS) &: $(wildcard chaoskernel/bpf/*.[ch] chaoskernel/bpf/logic/*.h) \
		chaoskernel/compiler/clang.py chaoskernel/compiler/shipped.py | $(READY)
	@$(BIN)/python -m chaoskernel.compiler.shipped

$(READY): setup.cfg setup.py pyproject.toml packages.txt | packages
	@echo "setting up $(VENV)"
	@mkdir -p build
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check -qq install --editable '.[lab,cluster,report,otel,prometheus,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build
