"""Jobs that train nothing, to see what a launcher does with their ends. `python toys.py OUT WORDS` runs a sweep."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

FINE, RAISES, KILLED, EXITS, CRASHES, SLOW = range(1, 7)  # what a job does, by its seed


class Toy:
    """A job; `seed` says how it ends."""

    def __call__(self, config: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        from rlhf.launchers.endings import write_outcome

        begun = time.time()
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        print(f"words of job {hydra.job.num}")
        seen = {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "begun": begun,
            "cores": sorted(os.sched_getaffinity(0)),
            "threads": os.environ["OMP_NUM_THREADS"],
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "python_threads": threading.active_count(),
            "loaded": "torch" in sys.modules and "trl" in sys.modules,
            "session": os.getsid(0),
            "folder": os.getcwd(),
        }
        (folder / "seen.json").write_text(json.dumps(seen))
        end(int(config.seed))
        write_outcome(
            folder, {"name": "toy", "words": list(hydra.overrides.task), "status": "finished", "started": begun}
        )


def end(seed: int) -> None:
    if seed == RAISES:
        raise RuntimeError("this job is meant to fail")
    if seed == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == EXITS:
        sys.exit(3)
    if seed == CRASHES:
        os.abort()
    if seed == SLOW:
        time.sleep(60)
    time.sleep(0.3)


def main() -> None:
    import hydra

    from rlhf.compose import conf_dir
    from rlhf.launchers import register_launchers

    register_launchers()
    out, *words = sys.argv[1:]
    sys.argv = ["rlhf", "-m", *words, f"hydra.sweep.dir={out}"]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(Toy())()


if __name__ == "__main__":
    from tests.launchers import toys

    toys.main()
