"""Fitting the network to a user's cameras, without labels."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from . import circle
from .augment import photometric
from .network import Prediction, StructureNet, both_ways, mirror
from .structure_losses import Truth, levers, structure_losses

logger = logging.getLogger(__name__)

SURE = 0.7
"""Confidence from which on a crop teaches."""
STEPS, BATCH, RATE = 60, 32, 1e-4
FEWEST = 100
"""Crops without which nothing is learnt: of a few the network would only learn these by heart."""


def adapt(network: StructureNet, crops: Tensor) -> None:
    """Self-training: on worse pictures of the crops and of their mirror images the network learns
    to say what it said, before, of both together (Lee, "Pseudo-label", 2013). That also moves its
    batch norm to the statistics of these cameras.

    The crops alone decide on the result: chance is seeded here and the caller's is left alone.

    Args:
        network: in eval mode; changed in place.
        crops: (N, 3, 128, 64) uint8 on the CPU; those of which the network is sure teach, if they
            are FEWEST or more.
    """
    device = next(network.parameters()).device
    pictures = torch.cat((crops, crops.flip(3)))
    truth, sure = _told(network, crops)
    if len(sure) < 2 * FEWEST:  # each is there twice
        logger.warning(
            "The estimator was not adapted: it is sure of %d crops and needs %d.",
            len(sure) // 2,
            FEWEST,
        )
        return
    lever = levers().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.0)
    # the seed is CUDA's, too
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        network.train()
        for _ in range(STEPS):
            rows = sure[torch.randint(len(sure), (BATCH,))]
            said = network(photometric(pictures[rows].float()).to(device))
            told = Truth(*(field[rows].to(device) for field in truth))
            optimizer.zero_grad()
            sum(structure_losses(said, told, lever).values()).backward()
            optimizer.step()
        network.eval()


@torch.no_grad()
def _told(network: StructureNet, crops: Tensor) -> tuple[Truth, Tensor]:
    """What the network says of crops and, in the second half, of their mirror images; and the rows
    of which it is sure."""
    device = next(network.parameters()).device
    parts = [both_ways(network, part.to(device).float()) for part in crops.split(64)]
    answer = Prediction(*(torch.cat(field).cpu() for field in zip(*parts, strict=True)))
    answer = Prediction(*map(torch.cat, zip(answer, mirror(answer), strict=True)))
    yaw, confidence = circle.read(answer.yaw)
    truth = Truth(yaw, answer.best_pose(), answer.phenotype, answer.framing)
    return truth, (confidence >= SURE).nonzero()[:, 0]
