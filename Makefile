# make env: the virtual environment with everything; make test; make demo. A second call does nothing anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := logs/demo
CONFIG := projects/GCL/configs/demo.yml
TRAIN = FASTREID_DATASETS=$(DEMO) $(BIN)/python tools/train_net.py --config-file $(CONFIG)
RANKS = FASTREID_DATASETS=$(DEMO) $(BIN)/python tools/rank_lists.py --config-file $(CONFIG) --queries 6 --depth 8
MESHES := GCL.STRUCTURE.DIR $(DEMO)/synthetic-pedestrians/meshes

.PHONY: env test lint demo clean

env: $(VENV)/.done

# fastreid goes last and without its dependencies: its wheel pins torch==1.13.1
$(VENV)/.done: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps fastreid==1.4.0
	touch $@

# one thread: the tests' tensors are tiny, and threads that wait for each other cost more than they bring;
# two processes instead, a file of tests in one of them, in its order
test: env lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: env
	$(BIN)/ruff check .

demo: $(DEMO)/compared

$(DEMO)/drawn: $(VENV)/.done
	$(BIN)/python -m gcl.synthetic $(DEMO)
	touch $@

$(DEMO)/imagenet/evaluation.json: $(DEMO)/drawn
	$(TRAIN) --eval-only GCL.CAMERA_NORM False OUTPUT_DIR $(@D)

# as many steps of E_id as all three phases have
$(DEMO)/contrast/model_final.pth: $(DEMO)/drawn $(CONFIG)
	$(TRAIN) $(MESHES) GCL.PHASES '("contrast",)' GCL.CONTRAST.EPOCHS 14 GCL.CONTRAST.STEPS '[8]' OUTPUT_DIR $(@D)

$(DEMO)/gcl/model_final.pth: $(DEMO)/drawn $(CONFIG)
	$(TRAIN) $(MESHES) OUTPUT_DIR $(@D)

$(DEMO)/compared: $(DEMO)/imagenet/evaluation.json $(DEMO)/contrast/model_final.pth $(DEMO)/gcl/model_final.pth
	$(BIN)/python tools/compare.py "ImageNet features=$(DEMO)/imagenet" "contrast only=$(DEMO)/contrast" \
		"GCL=$(DEMO)/gcl" --out demo
	$(RANKS) --out demo/ranks_imagenet.jpg GCL.CAMERA_NORM False
	$(RANKS) --out demo/ranks.jpg MODEL.WEIGHTS $(DEMO)/gcl/model_final.pth
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)
