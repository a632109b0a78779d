"""The synthetic set as a data set of the toolbox."""

from __future__ import annotations

import os

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501
from fastreid.utils import comm

from .set_files import FOLDER, write_set


@DATASET_REGISTRY.register()
class SyntheticPedestrians(Market1501):
    """Drawn people, ``<root>/synthetic-pedestrians``; drawn there first when they are not.

    ``python -m gcl.synthetic`` draws a set of another size; this class reads what is there.
    The stock Market1501 reads the same folder with FASTREID_DATASETS=<root>/synthetic-pedestrians,
    up to 1,501 people and 6 cameras (any number after ``import gcl``).

    Args:
        root: folder of data sets.
    """

    dataset_dir = FOLDER
    dataset_name = "synthetic"

    def __init__(self, root: str = "datasets", **kwargs) -> None:
        # one process of a machine draws: machines may not share a disk. Under torchrun the toolbox
        # knows the local rank only where its launcher made the groups, as tools/train_net.py does
        rank = os.environ.get("LOCAL_RANK")
        if (comm.get_local_rank() if rank is None else int(rank)) == 0:
            write_set(root)
        comm.synchronize()
        super().__init__(root=root, **kwargs)
