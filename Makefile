.PHONY: setup test docs bench

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
