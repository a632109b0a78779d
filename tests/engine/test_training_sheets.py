"""Sheets show what their rows promise. The generator here draws the structure image itself."""

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model
from torch import nn
from torchvision.transforms import functional as TF

from gcl.data.build import TrainingSet
from gcl.engine.training_sheets import triplet_sheet, turntable_sheet
from gcl.photographs import read_photograph

H, W = 32, 16


class Copier(nn.Module):
    """A view is its structure, in the encoder's image space; ``looked`` at what it was shown."""

    def __init__(self, model, uses_code):
        super().__init__()
        self.mean, self.std = model.pixel_mean, model.pixel_std
        self.uses_code, self.looked = uses_code, []

    def encode(self, structure):
        return structure

    def appearance(self, x, s, e, code):
        assert torch.equal(s, e) and (code is not None) == self.uses_code
        self.looked.append((x, s))
        return x

    def decode(self, e, x):
        assert len(e) == len(x)
        return (255 * e - self.mean) / self.std


@pytest.fixture(params=[True, False], ids=["code", "crop"])
def parts(toy, tmp_path, request):
    torch.manual_seed(0)
    cfg = runs.config(tmp_path, toy)
    train_set = TrainingSet(cfg)
    model = build_model(cfg)
    model.generator = Copier(model, request.param)
    return model, train_set


def cells(sheet, columns):
    """Pictures of a sheet, row by row, without the frames of 2 pixels."""
    assert sheet.shape[0] == 3
    assert (sheet.shape[2] - 2) % (W + 2) == 0 and (sheet.shape[1] - 2) % (H + 2) == 0
    assert (sheet.shape[2] - 2) // (W + 2) == columns
    rows = (sheet.shape[1] - 2) // (H + 2)
    return [
        [
            sheet[:, 2 + r * (H + 2) : (r + 1) * (H + 2), 2 + c * (W + 2) : (c + 1) * (W + 2)]
            for c in range(columns)
        ]
        for r in range(rows)
    ]


def crop(train_set, i):
    return TF.pil_to_tensor(read_photograph(train_set.items[i][0])).float() / 255


def render(train_set, i, turn):
    path = train_set.items[i][0]
    image = TF.pil_to_tensor(train_set.structures.load(path, turn)).float() / 255
    return image.expand(3, -1, -1)


def close(a, b):
    return torch.allclose(a, b, atol=1e-5)


def test_triplet_sheet(parts):
    model, train_set = parts
    indices = [0, 5, 9, 20]
    rows = cells(triplet_sheet(model, train_set.dataset("generator"), indices), len(indices))
    assert len(rows) == 6
    x, s_ori, ori, s_new, new, cycle = rows
    for column, i in enumerate(indices):
        assert close(x[column], crop(train_set, i))
        assert close(s_ori[column], render(train_set, i, 0))
        assert close(ori[column], s_ori[column]) and close(cycle[column], s_ori[column])
        assert any(close(s_new[column], render(train_set, i, t)) for t in range(45, 360, 45))
        assert close(new[column], s_new[column])
    (crops, s), (views, turned) = model.generator.looked  # the cycle looks at the new view
    for column in range(len(indices)):
        assert close(s[column], s_ori[column]) and close(turned[column], s_new[column])
        for seen, shown in ((crops, x), (views, new)):
            pictures = (seen * model.pixel_std + model.pixel_mean) / 255
            assert close(pictures[column], shown[column])


def test_turntable_sheet(parts):
    model, train_set = parts
    indices = [3, 17]
    rows = cells(turntable_sheet(model, train_set.dataset("generator"), indices), 9)
    assert len(rows) == 2 * len(indices)
    for k, i in enumerate(indices):
        above, below = rows[2 * k], rows[2 * k + 1]
        assert close(above[0], crop(train_set, i))
        assert close(below[0], torch.ones(3, H, W))
        for view in range(8):
            assert close(above[1 + view], render(train_set, i, 45 * view))
            assert close(below[1 + view], above[1 + view])
        crops, s = model.generator.looked[k]  # eight times the crop, with its own structure
        pictures = (crops * model.pixel_std + model.pixel_mean) / 255
        assert len(crops) == 8 and close(pictures, above[0].expand_as(pictures))
        assert close(s, above[1][:1].expand_as(s))


@pytest.mark.parametrize("sheet", [triplet_sheet, turntable_sheet])
@pytest.mark.parametrize("phase", ["generator", "joint"])
def test_a_sheet_disturbs_nothing_and_is_the_same_every_time(parts, sheet, phase):
    model, train_set = parts
    model.train()
    model.set_phase(phase)
    modes = [module.training for module in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    drawn = [sheet(model, train_set.dataset("generator"), [1, 2, 3]) for _ in range(2)]
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    runs.assert_same(state, dict(model.state_dict()))


def test_pictures_are_between_black_and_white(parts):
    model, train_set = parts
    model.generator.decode = lambda e, x: 1e3 * torch.randn(len(e), 3, H, W)
    sheet = triplet_sheet(model, train_set.dataset("generator"), [0])
    assert sheet.min() == 0 and sheet.max() == 1
