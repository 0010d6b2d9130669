# `make help` lists the targets. All of them set up .venv first, where it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
RUNS ?= outputs
SWEEP ?= multirun/models
EXTRAS := demo,tune,joblib,submitit,rank,mlflow,tensorboard,html,report,dev

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow test-gpu lint types check format leaderboard sweep dashboard submission check-submission test-oldest test-ray bench bench-startup bench-linear bench-large bench-autoencoders bench-pairwise bench-sequential bench-ensemble bench-sweep lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 20

install: $(INSTALLED) ## Set up .venv with the locked versions, the demo data, the search and the development tools

$(INSTALLED): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[$(EXTRAS)]'
	@touch $@

run: install ## Recommend real movies: python run.py with its defaults (ARGS="model=... data=..." for more)
	$(BIN)/python run.py $(ARGS)

test: install ## All fast tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu"

test-slow: install ## Statistical checks
	$(BIN)/python -m pytest -m slow

test-gpu: install ## Every model on CUDA beside a CPU
	$(BIN)/python -m pytest -m gpu -rs

test-oldest: ## All fast tests with the oldest packages that pyproject.toml allows, in an environment of its own
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-oldest/bin/uv pip compile --quiet --resolution lowest-direct --all-extras pyproject.toml -o .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-oldest/constraints.txt -e '.[$(EXTRAS)]'
	.venv-oldest/bin/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu"

test-ray: ## hydra/launcher=ray, in an environment of its own: it wants older packages
	$(PYTHON) -m venv .venv-ray
	grep -vE '^(cloudpickle|python-dateutil)==' requirements.lock > .venv-ray/constraints.txt
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-ray/constraints.txt -e '.[ray,tune,html]' pytest hypothesis
	.venv-ray/bin/python -m pytest tests/sweeps/test_launchers.py -k ray

lint: install ## Style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Types of the package
	$(BIN)/mypy

check: lint types test ## What CI runs

format: install ## Put the code in shape, and strip the notebooks' outputs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id --extra-keys metadata.language_info notebooks/*.ipynb

leaderboard: install ## Leaderboard and report of any runs: RUNS="outputs multirun/a" OUT=folder, and SCORES=scores.csv (run,score) of a public leaderboard, LATEX=1 for the table of a paper
	$(BIN)/python -m recsys_lightning.report $(RUNS) $(if $(OUT),--out $(OUT)) $(if $(SCORES),--scores $(SCORES)) $(if $(LATEX),--latex)

sweep: install ## Search spaces, one after another: MODELS="ease recvae" SWEEP=folder ARGS="data=..."
	@status=0; for model in $(MODELS); do \
	    $(BIN)/python run.py sweep=$$model hydra.sweep.dir=$(SWEEP)/$$model $(ARGS) || status=1; \
	done; exit $$status

dashboard: install ## The trials of a sweep in the browser: SWEEP=multirun/ease
	$(BIN)/optuna-dashboard $(SWEEP)/study.journal $(ARGS)

submission: install ## The contest's static models on the small sample's good ratings: fitted, fused, submitted (ARGS="...")
	$(BIN)/python run.py -m experiment=contest 'jobs=["model=ease,admm_slim,easer,recvae,multi_vae"]' data=movielens_small data.min_rating=4 $(ARGS)

check-submission: install ## Check FILE=submission.csv: header, ids, items a user, distinct, unseen; TEMPLATE=... for the order, SPLIT=... for the data
	$(BIN)/python -m recsys_lightning.submission $(FILE) $(if $(TEMPLATE),--template $(TEMPLATE)) $(if $(SPLIT),--split $(SPLIT))

bench: bench-startup bench-linear bench-autoencoders bench-pairwise bench-sequential bench-ensemble bench-sweep ## Speed and memory beside peer libraries; on a quiet machine

bench-startup: install ## The default run, its fits, its imports, and --help
	$(BIN)/python experiments/benchmark_startup/benchmark.py $(ARGS)

bench-linear: install ## The linear models beside RecTools and irspack
	$(BIN)/python -m experiments.benchmark_linear.benchmark
	$(BIN)/python experiments/benchmark_linear/users_few.py
	$(BIN)/python experiments/benchmark_linear/memory.py

bench-large: install ## EASE of a catalogue of 41,000 items, from file to submission
	$(BIN)/python experiments/benchmark_linear/large_catalogue.py $(ARGS)

bench-autoencoders: install ## The autoencoders beside plain PyTorch and RecBole
	$(BIN)/python -m experiments.benchmark_autoencoders.benchmark

bench-pairwise: install ## The pairwise models beside RecBole, implicit and Cornac (ML1M="data=files data.path=...")
	for part in negatives lightgcn_step lightgcn_batches mf_bpr neumf evaluation; do \
	    echo; $(BIN)/python -m experiments.benchmark_pairwise.$$part $(if $(ML1M),--ml1m "$(ML1M)") || exit 1; \
	done

bench-sequential: install ## The sequential models beside plain PyTorch, RecTools and RecBole (ML1M=...)
	for part in training scoring recall; do \
	    echo; $(BIN)/python -m experiments.benchmark_sequential.$$part $(if $(ML1M),--ml1m "$(ML1M)") || exit 1; \
	done

bench-ensemble: install ## The ensemble of eight runs of the contest's size
	$(BIN)/python experiments/benchmark_ensemble/benchmark.py

bench-sweep: install ## A sweep of 1,000 finished jobs, started again
	$(BIN)/python experiments/benchmark_sweep/benchmark.py $(ARGS)

lock: install ## Write the versions of .venv to requirements.lock
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

clean: ## Remove outputs and caches, keep .venv and data
	rm -rf outputs multirun .pytest_cache .mypy_cache .ruff_cache .hypothesis
