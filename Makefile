# `make` alone lists the targets. Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
BIN := .venv/bin
# Long spinning while threads wait makes a training step several times slower on a busy machine (docs/measurements.md).
export GOMP_SPINCOUNT ?= 10000

.DEFAULT_GOAL := help
.PHONY: help .venv demo test browser-test docs gpu-check lab checkpoint toyband warm-start detector sampled varied-solos \
	recorded-runs pixel-ablation step-measures atlas pictures frames lint format clean

help: ## Print this list
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv: .venv/installed ## Make .venv and install sopedu in it (again when pyproject.toml changed)

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "sopedu needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) -V 2>&1); choose one: make PYTHON=python3.12" >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[notebooks,dev]"
	@touch $@

demo: .venv ## Train, separate a toy duet, and write a page with pictures and sounds
	$(BIN)/sopedu demo

# One thread: on a busy machine several threads wait for each other so long that notebooks time out.
TESTS ?= tests notebooks
test: .venv ## Run the tests and every notebook (TESTS=notebooks: only these)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=300 $(TESTS)

docs: .venv .venv/docs-installed ## Build the pages: API reference, notebooks, design (build/docs/index.html)
	$(BIN)/python -m tools.docs_sources build/docs-source
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/sphinx build/docs-source build/docs
	@echo open build/docs/index.html

.venv/docs-installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

browser-test: .venv docs ## Operate notebooks and pages in a headless Chromium (needs the system's chromium)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "playwright>=1.50"
	$(BIN)/python -m pytest tests/browser

gpu-check: .venv ## Run the checks and timings that need a GPU, in ten minutes (runs/gpu_check.json)
	$(BIN)/python -m tools.gpu_check --out runs/gpu_check.json

lab: .venv ## Open the first notebook in JupyterLab
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

checkpoint: .venv ## Train the shipped checkpoint again, into runs/toyband-tiny (about half an hour on two cores)
	$(BIN)/sopedu train --preset tiny --out runs/toyband-tiny --set training.steps=14000 --set toyband.solos=8000 \
		--set toyband.empty_scenes=500 --set toyband.properties= --set training.precision=float32
	$(BIN)/sopedu evaluate runs/toyband-tiny/checkpoint --localization --json runs/toyband-tiny/checkpoint/metrics.json

NARROW = model.audio_channels=16,32,64,128,192
MORE_SOLOS = --set toyband.solos=24000 --set toyband.empty_scenes=1000
# The last three parts: plain sounds among the others, more pasted scenes; in two of them only frame net and synthesizer learn.
LAST = $(MORE_SOLOS) --set toyband.plain_share=0.3
EYES = $(LAST) --set mixing.pasted_share=0.6 --set training.freeze=audio_net --set training.steps=2400 \
	--set training.learning_rate=8e-4

toyband: .venv ## Train the shipped checkpoint toyband again, into runs/toyband (SAMPLED=FOLDER of make varied-solos; hours)
	@test -d "$(SAMPLED)" || { echo "make toyband SAMPLED=FOLDER: make varied-solos fills one" >&2; exit 1; }
	$(BIN)/sopedu train --preset toyband --out runs/toyband-plain --from toyband-tiny --set $(NARROW) \
		--set toyband.properties= --set training.steps=4000
	$(BIN)/sopedu train --preset toyband --out runs/toyband-lifelike --from runs/toyband-plain --set $(NARROW)
	$(BIN)/sopedu train --preset toyband --out runs/toyband-sampled --from runs/toyband-lifelike --set $(NARROW) \
		--data "toyband+$(SAMPLED)" --set training.steps=4000 --set training.learning_rate=1.5e-3
	$(BIN)/sopedu train --preset toyband --out runs/toyband-narrow --from runs/toyband-sampled --set $(NARROW) \
		--data "toyband+$(SAMPLED)" --set training.steps=8000 --set training.learning_rate=1.5e-3 \
		$(MORE_SOLOS)
	$(BIN)/sopedu train --preset toyband --out runs/toyband-wide --from runs/toyband-narrow --data "toyband+$(SAMPLED)" \
		--set training.precision=bf16 --set training.steps=34000 --set training.learning_rate=1.5e-3 $(MORE_SOLOS)
	$(BIN)/sopedu train --preset toyband --out runs/toyband-eyes --from runs/toyband-wide --data "toyband+$(SAMPLED)" \
		$(EYES) --set training.seed=1
	$(BIN)/sopedu train --preset toyband --out runs/toyband-all --from runs/toyband-eyes --data "toyband+$(SAMPLED)" \
		$(LAST) --set mixing.pasted_share=0.5 --set training.steps=4000 --set training.learning_rate=6e-4 \
		--set training.seed=2
	$(BIN)/sopedu train --preset toyband --out runs/toyband --from runs/toyband-all --data "toyband+$(SAMPLED)" \
		$(EYES) --set training.seed=3
	$(BIN)/sopedu evaluate runs/toyband/checkpoint --localization --json runs/toyband/checkpoint/metrics.json

warm-start: .venv ## Train the warm start anew into runs/warm_start.safetensors (about 6 minutes on one core)
	$(BIN)/python -m tools.warm_start --out runs/warm_start.safetensors

detector: .venv ## Train the toy band's detector anew into runs/detector (about 7 minutes on one core)
	$(BIN)/python -m tools.detector_training --out runs/detector

sampled: .venv ## Play held-out melodies on sampled instruments (SOUNDFONT=FILE.sf2 OUT=FOLDER)
	$(BIN)/python -m tools.sampled_instruments --soundfont "$(SOUNDFONT)" --out "$(OUT)"

varied-solos: .venv ## Play varied melodies to train on (SOUNDFONTS="ONE.sf2 TWO.sf3" NOTES=node_modules OUT=FOLDER)
	$(BIN)/python -m tools.varied_solos $(foreach file,$(SOUNDFONTS),--soundfont "$(file)") \
		$(if $(NOTES),--notes "$(NOTES)") --out "$(OUT)"

recorded-runs: .venv ## Train the healthy and the broken runs that notebook 09 shows (about four minutes on one core)
	$(BIN)/python -m tools.record_broken_runs

pixel-ablation: .venv ## Train and evaluate the variants of the pixel recipe of notebook 14 (about 90 minutes on one core)
	$(BIN)/python -m tools.pixel_ablation --out runs/pixel_ablation

pictures: .venv ## Draw the pictures of the model for the notebooks again
	$(BIN)/python -m tools.model_pictures

frames: .venv ## Write what all notebooks share: time, neighbours, links to glossary and functions (after editing them)
	$(BIN)/python -m tools.notebook_frame

atlas: .venv ## Train, score and pack the experiments that the lessons show (about 90 minutes on one core)
	$(BIN)/python -m tools.atlas --out runs/atlas

step-measures: .venv ## Measure what each part that makes a training step fast gains (a few minutes)
	$(BIN)/python -m tools.step_measures

lint: .venv ## Check code, notebooks and their formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv ## Format code and notebooks and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches and build leftovers, not .venv, not runs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -print0 | xargs -0 -r rm -rf
