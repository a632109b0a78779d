"""Pictures of what the generator draws."""

from __future__ import annotations

import torch
from fastreid.data.build import fast_batch_collator
from fastreid.evaluation.evaluator import inference_context
from torch import Tensor
from torchvision.utils import make_grid


@torch.no_grad()
def triplet_sheet(model, dataset, indices: list[int]) -> Tensor:
    """Rows x, s_ori, x'_ori, s_new, x'_new, x''_ori; a column a person; (3, rows, columns) in [0,
    1]."""
    with inference_context(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same turns every time
        batch = fast_batch_collator([dataset[i] for i in indices])
        x = model.preprocess_image(batch)
        s_ori, s_new = (batch[k].to(model.device) for k in ("structure_ori", "structure_new"))
        views = model.draw_views(x, model.part_code(x), s_ori, s_new, cycle=True)
    size = x.shape[-2:]
    rows = [x, s_ori, views.ori, s_new, views.new, views.cycle]
    rows = [_picture(model, row, size) for row in rows]
    return make_grid(torch.cat(rows), nrow=len(indices), padding=2)


@torch.no_grad()
def turntable_sheet(model, dataset, indices: list[int]) -> Tensor:
    """Two rows a person: the crop and its eight structures, and below them the eight generated
    views."""
    rows = []
    with inference_context(model), torch.random.fork_rng(devices=[]):  # an item draws a turn
        for i in indices:
            batch = fast_batch_collator([dataset[i]])
            x = model.preprocess_image(batch)
            structures = dataset.views(i).to(model.device)
            count, own = len(structures), structures[:1].expand_as(structures)
            code = model.part_code(x)  # once a crop
            code = None if code is None else code.expand(count, -1, -1)
            drawn = model.draw(x.expand(count, -1, -1, -1), code, own, structures)
            size = x.shape[-2:]
            crop = _picture(model, x, size)
            rows += [
                crop,
                _picture(model, structures, size),
                torch.ones_like(crop),
                _picture(model, drawn, size),
            ]
    return make_grid(torch.cat(rows), nrow=9, padding=2)


def _picture(model, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Structures or images in the encoder's space -> RGB in [0, 1] on the CPU, at ``size``."""
    images = model.resize(images, size)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    else:
        images = (images * model.pixel_std + model.pixel_mean) / 255
    return images.clamp(0, 1).cpu()
