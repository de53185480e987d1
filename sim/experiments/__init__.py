"""Experiments: one file a figure; a module that defines `EXPERIMENT` is one, and is found by that.

`experiment` says what an experiment is, `runner` computes, stores and resumes its points, `workers`
spreads them over Dask, `style` draws and `statistics` judges. `docs/experiments.md` shows how.
"""
