# make env: the virtual environment with everything; make test; make demo. A second call does nothing anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := logs/demo

.PHONY: env test lint demo clean

env: $(VENV)/.done

# fastreid goes last and without its dependencies: its wheel pins torch==1.13.1
$(VENV)/.done: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps fastreid==1.4.0
	touch $@

# one thread: the tests' tensors are tiny, and threads that wait for each other cost more than they bring
test: env lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: env
	$(BIN)/ruff check .

demo: $(DEMO)/run/model_final.pth

$(DEMO)/data/done: $(VENV)/.done
	$(BIN)/python -m gcl.data.toy $(DEMO)/data
	touch $@

$(DEMO)/run/model_final.pth: $(DEMO)/data/done projects/GCL/configs/demo.yml
	FASTREID_DATASETS=$(DEMO)/data $(BIN)/python tools/train_net.py --config-file projects/GCL/configs/demo.yml \
		GCL.STRUCTURE.DIR $(DEMO)/data/meshes OUTPUT_DIR $(DEMO)/run

clean:
	rm -rf $(VENV) $(DEMO)
