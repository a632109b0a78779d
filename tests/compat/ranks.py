"""What test_distributed.py runs in two processes: `python ranks.py OUT`, or as torchrun would."""

import json
import multiprocessing
import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn

from gcl.compat import device_type, launch


class Model(nn.Module):
    find_unused_parameters = True

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.used, self.unused = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def report(out: str) -> str:
    from fastreid.data import build
    from fastreid.engine import defaults
    from fastreid.utils import comm

    rank = comm.get_rank()
    model = defaults.DistributedDataParallel(
        Model(), device_ids=[comm.get_local_rank()], broadcast_buffers=False
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):  # the second step is where DDP misses unused parameters
        optimizer.zero_grad()
        model(torch.full((2, 3), float(rank))).sum().backward()
        optimizer.step()
    start = multiprocessing.get_start_method()
    workers = {}
    if rank == 0 and start == "spawn":  # once is enough: starting workers takes seconds
        loader = build.DataLoaderX(
            0,
            dataset=[{"index": index} for index in range(4)],
            batch_size=2,
            num_workers=1,
            collate_fn=build.fast_batch_collator,
        )
        workers["start"] = loader.multiprocessing_context.get_start_method()
        workers["batches"] = [batch["index"].tolist() for batch in loader]
    facts = {
        "backend": dist.get_backend(),
        "device": device_type(),
        "rank": rank,
        "local_rank": comm.get_local_rank(),
        "local_size": comm.get_local_size(),
        "world_size": comm.get_world_size(),
        "gathered": comm.all_gather(rank),
        "weights": [p.flatten().tolist() for p in model.parameters()],
        "default_start": start,
        "workers": workers,
    }
    Path(out, f"rank{rank}.json").write_text(json.dumps(facts))
    return "done"


if __name__ == "__main__":
    result = launch(report, 2, dist_url="auto", args=(sys.argv[1],))
    if dist.is_initialized():
        raise SystemExit("the process group is still there")
    Path(sys.argv[1], f"returned{result}").touch()
