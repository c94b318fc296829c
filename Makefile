# Two commands matter: `make demo` answers calls on this machine, `make test` proves that it works.
# Each keeps an environment of its own, rebuilt when pyproject.toml changes. The demo's has what
# deploy/demo.lock says, by hash; `make lock` writes the locks anew, `make sbom` lists what is in it.

PYTHON ?= python3
# CPU build of torch for the tests. Where the default index serves only CUDA builds, name the index
# of the CPU builds: make test TORCH_INDEX=<url>
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
ORACLES := .oracle

DEMO := .venv-demo/installed
DEV := .venv/installed
TOOLS := .tools/fetched
LOCKING := .venv-lock/installed

.PHONY: demo test check unit deploy-test lock sbom digests clean

# make demo PORT=8081 DATA=folder ENGINE=rehearsal LOG=json
demo: $(DEMO)
	@echo "4 of 4: starting"
	@.venv-demo/bin/python -m callcenter demo $(if $(PORT),--port $(PORT)) \
		$(if $(ADMIN_PORT),--admin-port $(ADMIN_PORT)) $(if $(DATA),--data '$(DATA)') \
		$(if $(ENGINE),--engine $(ENGINE)) $(if $(LOG),--log $(LOG))

test: check unit

check: $(DEV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Some tests hold calls in real time: one that a busy machine spoilt is tried again, and is named.
# Those that must not be disturbed come last, one by one; all others run side by side, the folders
# with the longest first.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest --reruns 2
unit: $(DEV) $(ORACLES)/installed $(TOOLS)
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not (alone or gpu)" $(PYTEST_ARGS)
	$(PYTEST) -m "alone or gpu" $(PYTEST_ARGS)

# A part of `unit` alone: charts, rules, images and compose files against their own tools.
# REPLAY=all also carries out the images' steps on a bare Debian (root, debootstrap, ten minutes).
deploy-test: $(DEV) $(TOOLS)
	.venv/bin/python -m pytest tests/deploy $(PYTEST_ARGS)

clean:
	rm -rf .venv .venv-demo .venv-lock .tools $(ORACLES)

# Pins every package of the images and the demo anew, with hashes. CHECK=--check only says whether the
# locks fit pyproject.toml.
lock: $(LOCKING)
	PATH="$(CURDIR)/.venv-lock/bin:$$PATH" sh deploy/images/lock.sh $(CHECK)

# What the demo's environment is made of, models among it: CycloneDX, with licences and hashes.
sbom: $(DEMO) $(LOCKING)
	mkdir -p build
	.venv-demo/bin/python deploy/sbom.py --tool .venv-lock/bin/cyclonedx-py --into build/sbom.json

# Values for Helm that name each image by its digest; needs docker and the registries.
# make digests REPOSITORY=registry.example.com/voice TAG=v1
digests: $(DEMO)
	mkdir -p build
	.venv-demo/bin/python deploy/images/digests.py --into build/digests.yaml \
		$(if $(REPOSITORY),--repository '$(REPOSITORY)') $(if $(TAG),--tag '$(TAG)')

# Only files whose SHA-256 stands in a lock, and only wheels: nothing runs before its hash is known.
LOCKED := install --quiet --require-hashes --no-deps --only-binary=:all: -r

# No torch in here: the demo's engines run without it.
$(DEMO): pyproject.toml deploy/demo.lock deploy/images/build.lock deploy/demo_environment.py
	@$(PYTHON) deploy/demo_environment.py .venv-demo
	@touch $@

$(LOCKING): deploy/tools.lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip $(LOCKED) deploy/tools.lock
	touch $@

$(DEV): pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --upgrade pip
	.venv/bin/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	.venv/bin/pip install --quiet --editable '.[demo,cascade,worker,webrtc,sip,pipecat,otel,dev]'
	touch $@

# Independent implementations that the model is compared with. They pin old libraries that they do
# not need at run time, so they are installed without their dependencies, beside the environment.
$(ORACLES)/installed: $(DEV)
	.venv/bin/pip install --quiet --no-deps --upgrade --target $(ORACLES)/moshi-0.1.0 moshi==0.1.0
	touch $@

# Helm, promtool and other judges of deploy/ and helm/; what cannot be had is skipped, with a word.
$(TOOLS): $(DEV) tests/deploy/tools.py
	.venv/bin/python tests/deploy/tools.py
	touch $@
