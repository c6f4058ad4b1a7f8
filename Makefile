# `make help` lists the targets.  `sudo make run` for a device on this machine, plain `make run` for one in
# a network namespace of its own.
.DEFAULT_GOAL := help
.PHONY: help setup compiled setup-compiled run demo test test-forms test-long check docs docs-plots dns-internet sim mutants bench bench-peers profile goodput soak fuzz dist clean setup-test

PY := .venv/bin/python
args ?=
QUICK_TESTS := tests/unit tests/sim
# They wait more than they compute, in namespaces of their own; a file's hierarchy is made once
WAITING_TESTS := tests/interop/dns tests/interop/rpc tests/interop/nfs
COMPILED_TESTS := $(QUICK_TESTS) tests/wire tests/netns/test_reachability.py tests/netns/test_tcp_peers.py
PURE_TESTS := tests/unit/tcp tests/unit/host tests/sim/test_tcp_over_faults.py tests/sim/test_regressions.py

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## virtual environment in .venv/ with the C core (packages too, when root)
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

compiled: setup  ## compile the TCP core with mypyc into build/compiled/
	@$(PY) -m tools.compiled

setup-compiled: setup
	@$(PY) -m tools.compiled --if-possible

run: setup-compiled  ## the daemon in the foreground; args="--help" for its options
	@exec .venv/bin/tapstack up $(args)

demo: setup-compiled  ## everything at work in a private network namespace, unattended
	@exec .venv/bin/tapstack demo $(args)

test: setup-test  ## the test suite, and parts of it in the other forms; args="-k name" for a part
ifeq ($(args),)
	@$(PY) -m pytest -q -n 2 $(QUICK_TESTS)
	@$(PY) -m pytest -q -n 2 --dist loadfile $(WAITING_TESTS)
	@$(PY) -m pytest $(addprefix --ignore=,$(QUICK_TESTS) $(WAITING_TESTS))
	@$(MAKE) test-forms
else
	@$(PY) -m pytest $(args)
endif

test-forms: setup-test  ## what depends on the form again: with the compiled TCP core, and without the C core
	@$(PY) -m tools.compiled
	@TAPSTACK_FORM=compiled $(PY) -m pytest -q -n 2 --ignore=tests/sim/test_mutants.py $(COMPILED_TESTS)
	@TAPSTACK_PURE=1 $(PY) -m pytest -q -n 2 $(PURE_TESTS)

test-long: setup-test  ## the whole suite, with the long variants
	@$(PY) -m pytest -m "" $(args)

check: setup-test  ## format, lint, types, import contracts, sizes, RFC coverage
	@$(PY) tools/check.py

docs: setup-test  ## write the generated pages: RFC conformance and the TCP state diagram
	@$(PY) tools/rfc_coverage.py --write
	@$(PY) tools/state_diagram.py --write

sim: setup-test  ## random hostile networks: fixed seeds, then runs=1000 fresh ones; args="--seed N" for the same again
	@$(PY) -m stack.sim.campaign --runs $(or $(runs),1000) $(args)

mutants: setup-test  ## planted bugs, and when the campaign finds each; runs=10000 at most, args=--write for the docs
	@$(PY) -m tools.mutants --runs $(or $(runs),10000) $(args)

dns-internet: setup-test  ## an internet of DNS servers and its attackers, simulated; writes docs/dns-internet.md
	@$(PY) -m tools.dns_internet --write $(args)

docs-plots: setup-test  ## draw the pictures in docs/img from the example scenarios
	@$(PY) tools/docs_plots.py

bench: setup-test setup-compiled  ## benchmarks against kernel sockets; only="bulk_rx tcp_rr" for a part
	@$(PY) -m tools.bench.run $(foreach m,$(only),--only $(m)) $(args)

bench-peers: setup-test setup-compiled  ## the same beside gVisor, lwIP and PyTCP on the same TAP device; only="bulk_rx crr32" for a part
	@scripts/bootstrap.sh peers
	@$(PY) -m tools.bench.peers.run $(foreach m,$(only),--only $(m)) $(args)

profile: setup-test setup-compiled  ## flame graph of our server, Python and C together, in one row of bench: only=crr32
	@$(PY) -m tools.bench.profile $(foreach m,$(only),--only $(m)) $(args)

goodput: setup-test setup-compiled  ## our sender and the kernel's over a bad network; writes docs/goodput.md (50 min; the same again goes on)
	@$(PY) -m tools.bench.goodput --write $(args)

soak: setup-test setup-compiled  ## mixed load on the daemon, and what it leaves behind; minutes=10
	@$(PY) -m tools.soak.run $(or $(minutes),10)

fuzz: setup-test  ## fuzz the C core, seconds=60 for each target; decoders of XDR, mutations=100000 for each file
	@$(MAKE) -C native fuzz SECONDS=$(or $(seconds),60)
	@$(PY) -m tests.support.rpc_fuzz --count $(or $(mutations),100000)

dist: setup-test  ## sdist and wheel in dist/
	@$(PY) -m build

clean:  ## remove what was built
	rm -rf .venv build native/build dist out *.egg-info stack/wire/_wire*.so stack/device/_io*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
