# Everything a developer runs. `make help` lists it; whatever is missing is installed first (scripts/bootstrap).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := $(CURDIR)/build/venv
PYTHON := $(VENV)/bin/python
JUNIT := build/junit

export PATH := $(VENV)/bin:$(PATH):/usr/sbin:/sbin
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build/collections
# molecule would look for a collection's scenarios in extensions/molecule.
export MOLECULE_GLOB := molecule/*/molecule.yml

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.PHONY: demo
demo: bootstrap-demo ## make a throw-away node, prove its pod network, run again (KEEP=1 keeps the node)
	$(PYTHON) tests/demo.py

.PHONY: test
test: bootstrap-test ## all of the checks and tests below, with a summary
	$(PYTHON) scripts/stages.py

.PHONY: lint
lint: bootstrap-test ## style, types, YAML, roles, changelog, documentation
	scripts/lint

.PHONY: unit
unit: bootstrap-test ## tests of functions; nothing on this machine is touched
	$(PYTHON) -m pytest tests/unit --junitxml=$(JUNIT)/unit.xml $(ARGS)

.PHONY: sanity
sanity: bootstrap-test ## ansible-test sanity (ARGS='--test pep8' for one)
	scripts/sanity $(ARGS)

.PHONY: integration
integration: bootstrap-test ## tests on nodes made of network and mount namespaces
	$(PYTHON) -m pytest tests/integration -n 2 --dist loadfile --no-loadscope-reorder --junitxml=$(JUNIT)/integration.xml $(ARGS)

.PHONY: systemd
systemd: bootstrap-test ## the boot service and network managers on systemd nodes, in containers
	$(PYTHON) -m pytest tests/systemd --junitxml=$(JUNIT)/systemd.xml $(ARGS)

.PHONY: faults
faults: bootstrap-test ## runs that are killed or fail: every call of _host, and 200 places in real runs (KUBENODE_FAULTS_SEED=7 for others)
	$(PYTHON) -m pytest tests/faults -n 2 --junitxml=$(JUNIT)/faults.xml $(ARGS)

.PHONY: test-faults
test-faults: bootstrap-test ## the same at all places, for an hour or two; goes on where it was (ARGS='--point first/kill/rename:3')
	PYTHONPATH=tests $(PYTHON) -m faults.run $(ARGS)

.PHONY: bench
bench: bootstrap-test ## what a node costs, against ping and two usual playbooks, and a fleet of 200 (ARGS='--only whole --pairs 20')
	$(PYTHON) tests/bench/run.py $(ARGS)

.PHONY: molecule
molecule: bootstrap-test ## the site playbook on a systemd node, over ssh (KUBENODE_SUITE=sid for another Debian), then multi-node
	molecule test --scenario-name default $(ARGS)
	molecule test --scenario-name multi_node $(ARGS)

.PHONY: multi-node
multi-node: bootstrap-test ## three nodes with a real containerd each: their pods and services, a node that joins, a reboot, a node that leaves
	molecule test --scenario-name multi_node $(ARGS)

.PHONY: matrix
matrix: bootstrap-test ## the same on Debian 11, 12, 13 and sid (ARGS=sid for one)
	$(PYTHON) scripts/matrix.py $(ARGS)

.PHONY: controllers
controllers: bootstrap-test ## the collection under older and newer ansible-core (ARGS=2.21 for one)
	$(PYTHON) scripts/controllers.py $(ARGS)

.PHONY: build
build: bootstrap-test ## build the collection, install it into build/installed, read it from there
	scripts/build

.PHONY: fresh
fresh: bootstrap-test ## `make demo` on a Debian machine with nothing on it (ARGS='make test' for another command)
	tests/fresh/run $(ARGS)

.PHONY: lock
lock: bootstrap-test ## resolve requirements/*.in anew
	scripts/lock

.PHONY: bootstrap-demo bootstrap-test
bootstrap-demo bootstrap-test: bootstrap-%:
	@scripts/bootstrap $*

.PHONY: clean
clean: ## remove what tests and builds left; the environment and the images stay
	rm -rf build/{dist,fresh,installed,junit,lock,logs,sanity,source} tests/output
	rm -rf .ansible .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./build -prune -o -path ./.git -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## remove all that the Makefile ever made, node images included
	scripts/remove-images
	rm -rf build
