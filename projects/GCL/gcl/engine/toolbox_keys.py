"""Keys of the toolbox that have no effect on META_ARCHITECTURE GCL: refused, never ignored."""

from __future__ import annotations

from collections.abc import Collection

from fastreid.config import get_cfg

from gcl.config import ConfigError

from .phases import PhasePlan


def check_toolbox_keys(cfg, given: Collection[str] = ()) -> None:
    """Stop a training that sets a key of the toolbox to what GCL does not do.

    The toolbox's defaults pass: nobody asked for them.

    Args:
        cfg: a configuration.
        given: keys that a file or the command line sets. A value that is both the toolbox's default
            and not GCL's counts only when it is among them.

    Raises:
        ConfigError: one sentence that names the key and says what to set.
    """
    if cfg.MODEL.META_ARCHITECTURE != "GCL":
        return
    default, solver = get_cfg(), cfg.SOLVER
    epochs = PhasePlan(cfg).num_epochs  # what config.yaml of a run says
    if solver.MAX_EPOCH not in (default.SOLVER.MAX_EPOCH, epochs):
        keys = ", ".join(f"GCL.{phase.upper()}.EPOCHS" for phase in cfg.GCL.PHASES)
        raise ConfigError(
            f"SOLVER.MAX_EPOCH is {solver.MAX_EPOCH}, but the phases of GCL.PHASES have {epochs}"
            f" epochs together: set {keys} instead."
        )
    if len(cfg.MODEL.FREEZE_LAYERS) or solver.FREEZE_ITERS:
        # the toolbox's hook and optimizer count iterations anew with every optimizer, that is, in
        # every phase and after every resume
        raise ConfigError(
            "MODEL.FREEZE_LAYERS and SOLVER.FREEZE_ITERS do not work with GCL: leave them out;"
            " GCL.FREEZE_BN keeps the statistics of E_id's batch norm, and the phase generator all"
            " of E_id."
        )
    sampler = cfg.DATALOADER.SAMPLER_TRAIN
    if sampler != default.DATALOADER.SAMPLER_TRAIN:
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN is {sampler}, but GCL draws DATALOADER.NUM_INSTANCE images"
            " of each pseudo class by a sampler of its own: leave it out."
        )
    neck = cfg.MODEL.HEADS.NECK_FEAT
    asked = "MODEL.HEADS.NECK_FEAT" in given or neck != default.MODEL.HEADS.NECK_FEAT
    if neck != "after" and asked:
        raise ConfigError(
            f"MODEL.HEADS.NECK_FEAT is {neck!r}, but GCL learns and evaluates the feature behind"
            " the neck: set it to after."
        )
