"""The toolbox's own trainer, for its own architectures: what GCL is compared with."""

from __future__ import annotations

from fastreid.engine import DefaultTrainer
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng

from gcl.data.build import build_test_loader, seed_of


class BaselineTrainer(DefaultTrainer):
    """Trains any META_ARCHITECTURE of the toolbox (configs/ at the top of the repository).

    What differs from the toolbox: SEED counts, and tests read crops as GCL's do.
    """

    def __init__(self, cfg) -> None:
        if cfg.SEED >= 0:
            seed_all_rng(seed_of(cfg.SEED, 0, comm.get_rank()))
        super().__init__(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name: str):
        return build_test_loader(cfg, dataset_name)
