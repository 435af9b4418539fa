"""A sweep's folder: what is planned, what is finished, written so that nothing is ever half there.

May import ``core`` alone, and never torch.

::

    sweep.toml            the resolved sweep; running it again makes the same plan
    plan.jsonl.gz         one planned cell a line, for readers without torch
    cells/<key>.json      one record a finished cell, with its checksum; it appears at once or not at all
    cells.jsonl.gz        the same records in one file, after packing
    .index.sqlite         which files were read and found whole (folders of many cells); may be deleted

Nothing here imports torch or a method: tables are made from what is stored.
"""

from robustbench_fl.store.errors import StoreError
from robustbench_fl.store.folder import Store

__all__ = ["Store", "StoreError"]
