.PHONY: setup test docs bench evidence pages

setup:  ## everything that developing needs
	pip install torch torchvision
	pip install -e '.[dev]'

test:  ## notebooks, then what needs processes
	OMP_NUM_THREADS=1 nbdev_test --n_workers 2 --do_print
	python -m pytest -q -n 2 tests

docs:  ## the site; needs Quarto
	nbdev_docs

bench:  ## speed, as ratios in one run
	plasticish_bench

OUT ?= nbs/results/cells
RIVER ?= python
CAPYMOA ?= python
AVALANCHE ?= python
PAGE = PLASTICISH_DATA=$(abspath $(DATA)) PLASTICISH_RESULTS=$(abspath $(OUT)) python .ci/refresh.py
ONLY ?= python .ci/peers/ours.py $(DATA) $(OUT) --only

evidence:  ## every cell of the results pages that is not there yet, and the pages: make evidence DATA=... [OUT=, RIVER=, CAPYMOA=, AVALANCHE=: pythons that have them]
	-$(RIVER) .ci/peers/river_streams.py $(OUT)
	-$(ONLY) many_classes & $(ONLY) drift; $(ONLY) by_row; for o in "" "/by_row --batch 1"; do \
	$(RIVER) .ci/peers/river_peers.py $(OUT)$$o; $(CAPYMOA) .ci/peers/capymoa_peers.py $(OUT)$$o; done; wait
	-$(AVALANCHE) .ci/peers/avalanche_peers.py $(OUT)
	-$(CAPYMOA) .ci/peers/capymoa_lessons.py $(OUT)
	-python .ci/peers/alarms.py $(DATA) $(OUT); $(RIVER) .ci/peers/river_alarms.py $(OUT)
	-python .ci/peers/ablate.py $(DATA) $(OUT)
	-for p in $(RIVER) $(CAPYMOA) $(AVALANCHE); do $$p .ci/peers/counts.py $(OUT); done
	-$(PAGE) nbs/results/claims.ipynb data # lives that OUT/claims.jsonl lacks: a quarter of an hour
	$(MAKE) pages

pages:  ## the results pages and the landing page's table from the cells in OUT; claims stays as it is if OUT/claims.jsonl is not there
	for n in results/many_classes results/drift compare; do $(PAGE) nbs/$$n.ipynb data || exit 1; done
	[ ! -f $(OUT)/claims.jsonl ] || $(PAGE) nbs/results/claims.ipynb data
	[ -f $(OUT)/storms.jsonl ] || cp nbs/results/cells/storms.jsonl $(OUT) # a run of the whole page makes it, in hours
	$(PAGE) nbs/results/storms.ipynb data storms-table storms-picture storms-today $(if $(wildcard $(OUT)/alarms.jsonl),alarm-table)
	python .ci/peers/table.py $(OUT)
	python .ci/readme.py
