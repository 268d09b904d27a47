"""Data sets on the hub."""

from __future__ import annotations

from collections.abc import Iterator

from rlhf.data.reading.base import Record
from rlhf.errors import UserError, one_line


def read_hub(hub_id: str, hub_config: str | None, revision: str | None) -> Iterator[Record]:
    """Yield the records of every split of a data set on the hub; `hub_config` is a configuration's name or a folder.

    It is fetched once, to the hub client's cache, where every later stage finds it; its rows are read from mapped files
    there, so that no more than a few of them are in memory.
    """
    import datasets

    try:
        names = datasets.get_dataset_config_names(hub_id, revision=revision) if hub_config else []
        where = {"name": hub_config} if hub_config in names else {"data_dir": hub_config}
        parts = datasets.load_dataset(hub_id, revision=revision, **where)
    except Exception as error:  # the clients of the hub raise what their transport raises: OSError, httpx, ValueError
        problem = f"{hub_id} could not be fetched from the hub ({type(error).__name__})"
        remedy = "Check the name and the network, or give a local copy with dataset.path=FILE"
        raise UserError("dataset.hub_id", problem, remedy) from error
    for split, rows in parts.items():
        number = 0
        try:
            for number, row in enumerate(rows, start=1):
                yield f"{hub_id}/{split}:row {number}", row
        except Exception as error:  # decoders of columns raise what they like
            place = f"{hub_id}/{split}:row {number + 1}"
            raise UserError(place, f"it cannot be read ({one_line(error)})", "Fetch the set again") from error
