"""Checkpoints that a kill can not break, and what they hold beside the toolbox's."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable

import torch
from fastreid.engine import hooks
from fastreid.utils.checkpoint import Checkpointer

from gcl.config import ConfigError
from gcl.modeling import MemoryBank, SourceTerm
from gcl.modeling.encoder_weights import read_weights, weights_file

from .initial_weights import initial_state

_OPTIONAL = {"grad_scaler", "best_metric"}
"""Parts that a checkpoint may lack: of another precision, of an earlier version."""


class AtomicCheckpointer(Checkpointer):
    """The toolbox's checkpointer, writing beside the target and renaming: a file is whole or not
    there.

    A run is resumed from its own file as it is; MODEL.WEIGHTS may be of another tool
    (:mod:`gcl.engine.initial_weights`), or of ``tools/pretrain_encoder.py``. View generators share
    names of weights (E_str's): one of another configuration is not mixed with this run's.
    """

    def get_checkpoint_file(self) -> str:
        """The checkpoint to go on from.

        Raises:
            ConfigError: the folder's ``last_checkpoint`` names no file of it.
        """
        try:
            path = super().get_checkpoint_file()
        except UnicodeDecodeError:
            path = ""
        if not os.path.isfile(path):
            raise ConfigError(
                f"{os.path.join(self.save_dir, 'last_checkpoint')} names no checkpoint that is"
                " there: write the name of one into it, such as model_0000.pth, or start anew"
                " without --resume."
            )
        return path

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict:
        """As the toolbox does; with ``checkpointables`` [] (MODEL.WEIGHTS) another view generator
        is left out.

        Raises:
            ConfigError: a run is resumed with another view generator, or the file can not be read,
                or is no weights of the model.
        """
        self._resumes, path = checkpointables is None, weights_file(path)
        try:
            rest = super().load(path, checkpointables)
        except ConfigError as error:
            raise ConfigError(str(error) if path in str(error) else f"{path}: {error}") from error
        except Exception as error:  # whatever a damaged file, or another tool's, leads to
            if self._resumes:
                remedy = "resume with its configuration, or start anew without --resume"
            else:
                remedy = "give a file of weights that is whole"
            raise ConfigError(
                f"{path} can not be loaded ({_reason(error)}), it is damaged or of another model:"
                f" {remedy}."
            ) from error
        if self._resumes and path and not isinstance(rest.get("epoch"), int):
            raise _part_missing(path, "epoch")
        return rest

    def resume_or_load(self, path: str, *, resume: bool = True) -> object:
        """As the toolbox does, but says so where there is nothing to resume."""
        if resume and not self.has_checkpoint():
            self.logger.warning(
                "--resume: there is no checkpoint in OUTPUT_DIR %s, the run begins anew.",
                os.path.abspath(self.save_dir),
            )
        return super().resume_or_load(path, resume=resume)

    def _load_file(self, path: str) -> dict:
        try:
            if path.endswith(".safetensors"):
                checkpoint = read_weights(path)[0]
            else:
                checkpoint = super()._load_file(path)
        except ConfigError:
            raise
        except pickle.UnpicklingError as error:  # a sentence already
            raise ConfigError(f"{path} can not be read: {_one_line(error)}") from error
        except Exception as error:  # a damaged file can raise nearly anything
            raise ConfigError(f"{path} can not be read: {_reason(error)}") from error
        if not isinstance(checkpoint, dict):
            raise ConfigError(f"{path} holds a {type(checkpoint).__name__}, no checkpoint.")
        if not self._resumes:
            return {"model": initial_state(checkpoint, self.model.state_dict(), path)}
        for part in ("model", *(self.checkpointables.keys() - _OPTIONAL)):
            if part not in checkpoint:
                raise _part_missing(path, part)
        return checkpoint

    def _load_model(self, checkpoint: dict):
        ours, theirs = _generator(self.model.state_dict()), _generator(checkpoint["model"])
        if ours and theirs and ours != theirs:
            if self._resumes:
                raise ConfigError(
                    f"the checkpoint in {self.save_dir} is of a run with another view generator"
                    f" ({min(ours.items() ^ theirs.items())[0]}): resume with its GCL.GENERATOR, or"
                    " start anew without --resume."
                )
            self.logger.warning("Another view generator than GCL.GENERATOR's is not loaded.")
        # nor is one by a model without: E_id is used alone, and a list of all that is left would
        # read as a fault
        if not self._resumes and ours != theirs:
            checkpoint["model"] = {
                name: value
                for name, value in checkpoint["model"].items()
                if not name.startswith(("generator.", "discriminator."))
            }
        return super()._load_model(checkpoint)

    def save(self, name: str, *, last: bool = True, **kwargs) -> None:
        """As the toolbox does.

        Args:
            last: a run is resumed from it, and from no earlier one.

        Raises:
            OSError: it can not be written; what was there before is as it was.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: value.state_dict() for key, value in self.checkpointables.items()}
        data |= kwargs
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        _replace(path, lambda temporary: torch.save(data, temporary))
        if last:
            self.tag_last_checkpoint(os.path.basename(path))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        def write(temporary: str) -> None:
            with open(temporary, "w") as file:
                file.write(last_filename_basename)

        _replace(os.path.join(self.save_dir, "last_checkpoint"), write)


def use_atomic_checkpointer(trainer, **checkpointables: object) -> None:
    """Put an :class:`AtomicCheckpointer` in the place of a toolbox trainer's own, in its hooks too.

    Args:
        checkpointables: what it keeps beside the toolbox's, by name.
    """
    old = trainer.checkpointer
    new = AtomicCheckpointer(
        old.model, old.save_dir, save_to_disk=old.save_to_disk, **old.checkpointables
    )
    new.checkpointables |= checkpointables
    if trainer.grad_scaler is not None:
        new.checkpointables["grad_scaler"] = trainer.grad_scaler
    for hook in trainer._hooks:
        if isinstance(hook, hooks.PeriodicCheckpointer):
            hook.checkpointer = new
    trainer.checkpointer = new


class BankState:
    """The memory bank in a checkpoint: apart from the model's weights, as its size is the training
    set's."""

    def __init__(self, bank: MemoryBank) -> None:
        self.bank = bank

    def state_dict(self) -> dict:
        return {"features": self.bank.features, "labels": self.bank.labels}

    def load_state_dict(self, state: dict) -> None:
        """Raises ConfigError when the checkpoint belongs to another training set or embedding."""
        for name, target in (("features", self.bank.features), ("labels", self.bank.labels)):
            if state[name].shape != target.shape:
                raise ConfigError(
                    f"the checkpoint's memory bank has {name} {tuple(state[name].shape)}, this run"
                    f" needs {tuple(target.shape)}: resume with the same DATASETS.NAMES and model,"
                    " or start anew with MODEL.WEIGHTS."
                )
            target.copy_(state[name])


class SourceState:
    """What a run knows of its labelled source: the centroids of its people, and the statistics of
    its cameras. To be loaded after :class:`TrainingState`, which knows whether these are the same
    people."""

    def __init__(self, source: SourceTerm) -> None:
        self.source = source

    def state_dict(self) -> dict:
        return dict(self.source.named_buffers())

    def load_state_dict(self, state: dict) -> None:
        source = self.source
        source.centroids = source.centroids.new_empty(state["centroids"].shape)
        for name, buffer in source.named_buffers():
            buffer.copy_(state[name])


class TrainingState:
    """The rest that a resumed run needs.

    Attributes:
        seed: of the run; every epoch's random state follows from it and the epoch's number.
        evaluated: False in a checkpoint that was written before the evaluation of its epoch.
        images: digest of the list of training images (:func:`~gcl.data.same_lists.digest_of`).
        source: of that of GCL.SOURCE.NAMES; "": there is none.
    """

    def __init__(self, seed: int, fixed_seed: bool, images: str = "", source: str = "") -> None:
        self.seed, self.fixed_seed, self.images, self.source = seed, fixed_seed, images, source
        self.evaluated = True

    def state_dict(self) -> dict:
        names = ("seed", "evaluated", "images", "source")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict) -> None:
        """Raises ConfigError when the checkpoint was trained on other images: its rows of the bank
        and pseudo labels would be other people's."""
        if state.get("images", self.images) != self.images:  # older ones have none
            raise ConfigError(
                "the training images of DATASETS.NAMES are not those of the checkpoint (they have"
                " other names, cameras or another order): resume with the data as it was, or start"
                " anew with MODEL.WEIGHTS."
            )
        if state.get("source", "") != self.source:
            raise ConfigError(
                "the training images of GCL.SOURCE.NAMES are not those of the checkpoint (one of"
                " the two may have no source): resume with the source as it was, or start anew with"
                " MODEL.WEIGHTS."
            )
        self.evaluated = state.get("evaluated", True)
        if not self.fixed_seed:  # SEED of the configuration wins
            self.seed = state["seed"]


def _generator(state: dict) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of E_str and G."""
    return {name: (*v.shape,) for name, v in state.items() if name.startswith("generator.")}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _reason(error: Exception) -> str:
    """What an error says, for a sentence; torch's can be long."""
    return f"{type(error).__name__}: {_one_line(error)[:200]}".removesuffix(": ")


def _part_missing(path: str, part: str) -> ConfigError:
    return ConfigError(
        f"{path} has no {part!r}, without which no run goes on: start from its weights by"
        " MODEL.WEIGHTS instead, without --resume."
    )


def _replace(path: str, write: Callable[[str], object]) -> None:
    temporary = f"{path}.tmp"
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        # half a file would fill the disk on which there was no room for a whole one
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        if isinstance(error, RuntimeError | OSError):  # torch's writer knows but RuntimeError
            raise OSError(
                f"{path} can not be written ({_reason(error)}): make room on the disk, then go on"
                " by --resume."
            ) from error
        raise
