"""The synthetic set as a data set of the toolbox."""

from __future__ import annotations

import glob
import os
import re

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501
from fastreid.utils import comm

from .set_files import FOLDER, write_set

_NAME = re.compile(r"(\d+)_c(\d+)s")


@DATASET_REGISTRY.register()
class SyntheticPedestrians(Market1501):
    """Drawn people, ``<root>/synthetic-pedestrians``; drawn there first when they are not.

    ``python -m gcl.synthetic`` draws a set of another size; this class reads what is there.
    The stock Market1501 reads the same folder with FASTREID_DATASETS=<root>/synthetic-pedestrians,
    up to 1,501 people and 6 cameras.

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

    def process_dir(self, dir_path: str, is_train: bool = True) -> list[tuple]:
        """(path, person, camera from 0) of each crop; of training crops as the toolbox has them,
        with the data set's name."""
        items = []
        for path in sorted(glob.glob(os.path.join(dir_path, "*.jpg"))):
            person, camera = map(int, _NAME.match(os.path.basename(path)).groups())
            camera -= 1
            if is_train:
                person, camera = f"{self.dataset_name}_{person}", f"{self.dataset_name}_{camera}"
            items.append((path, person, camera))
        return items
