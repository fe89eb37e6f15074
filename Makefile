.PHONY: setup test docs bench evidence

setup:  ## everything that developing needs
	pip install torch torchvision
	pip install -e '.[dev]'

test:  ## notebooks, then what needs processes
	OMP_NUM_THREADS=1 nbdev_test --n_workers 2 --do_print
	python -m pytest -q tests

docs:  ## the site; needs Quarto
	nbdev_docs

bench:  ## speed, as ratios in one run
	plasticish_bench

evidence:  ## every cell of the results pages that is not there yet: make evidence DATA=... OUT=...
	python .ci/peers/ours.py $(DATA) $(OUT) --only many_classes & \
	python .ci/peers/ours.py $(DATA) $(OUT) --only drift && python .ci/peers/ours.py $(DATA) $(OUT) --only by_row; wait
	python .ci/peers/table.py $(OUT)
