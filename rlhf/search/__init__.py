"""Search: settings drawn by Optuna, not multiplied out; hopeless ones ended early; a study that survives kills.

    rlhf -m search=dpo method=dpo search.trials=30

`spec` says what a search is, `space` turns it into words of a command line, `check` refuses a wrong one before anything
starts, `engine` asks and tells, `watcher` runs in the jobs, `record` says what came out. `rlhf/launchers/search.py` is
the Hydra plugin.
"""
