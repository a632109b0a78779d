"""Which gradients the processes of a job add up."""

from __future__ import annotations

import gc

from fastreid.engine import defaults
from fastreid.utils import comm


def share_gradients(trainer) -> None:
    """Wrap a trainer's model anew where its phase has changed; nothing to do in one process.

    DistributedDataParallel shares, for ever, what asks for a gradient when it is built: zeros of
    E_id in the phase generator, and of the generator in the phase contrast, would be sent around
    in every step.
    """
    model = trainer.gcl
    if comm.get_world_size() == 1 or getattr(trainer.model, "phase", None) == model.phase:
        return
    # the old wrapper takes its hooks off the parameters when it is gone, and it refers to itself
    trainer._trainer.model = model
    gc.collect()
    learning = {id(parameter) for parameter in model.learning_parameters()}
    asking = [p for p in model.parameters() if p.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(id(parameter) in learning)
    wrapper = defaults.DistributedDataParallel(
        model, device_ids=[comm.get_local_rank()], broadcast_buffers=False
    )
    for parameter in asking:  # a CPU picks its convolution by that, and rounds differently
        parameter.requires_grad_(True)
    wrapper.phase = model.phase
    trainer._trainer.model = wrapper
