"""The drawn sets as data sets of the toolbox."""

from __future__ import annotations

import os

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501
from fastreid.utils import comm

from . import people_set, set_files


class DrawnSet(Market1501):
    """Crops in Market-1501's layout in a folder of their own; drawn there first when they are not.

    The stock Market1501 reads the same folder with FASTREID_DATASETS=<root>/<dataset_dir>, up to
    1,501 people and 6 cameras (any number after ``import gcl``).

    Args:
        root: folder of data sets.
    """

    drawn = True  # who trains on it changes light and colours as pre-training does

    def __init__(self, root: str = "datasets", **kwargs) -> None:
        # one process of a machine draws: machines may not share a disk. Under torchrun the toolbox
        # knows the local rank only where its launcher made the groups, as tools/train_net.py does
        rank = os.environ.get("LOCAL_RANK")
        if (comm.get_local_rank() if rank is None else int(rank)) == 0:
            self.draw(root)
        comm.synchronize()
        super().__init__(root=root, **kwargs)

    def draw(self, root: str) -> None:
        """Draw what is missing."""
        raise NotImplementedError


@DATASET_REGISTRY.register()
class SyntheticPedestrians(DrawnSet):
    """People with exact structures, all of them before all cameras.

    ``python -m gcl.synthetic`` draws a set of another size; this class reads what is there.
    """

    dataset_dir = set_files.FOLDER
    dataset_name = "synthetic"

    def draw(self, root: str) -> None:
        set_files.write_set(root)


@DATASET_REGISTRY.register()
class DrawnPeople(DrawnSet):
    """People to learn to tell apart: of 64 cameras four see each of them, siblings among them.

    ``python -m gcl.synthetic.draw_people`` draws a set of another size, or more people; this class
    reads what is there.
    """

    dataset_dir = people_set.FOLDER
    dataset_name = "drawn"

    def draw(self, root: str) -> None:
        people_set.write_people_set(root)
