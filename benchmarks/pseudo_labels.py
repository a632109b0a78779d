"""Pseudo labels, measured: CPU-seconds per stage, memory, and the dense algorithm beside it.

    python benchmarks/pseudo_labels.py                      # 2k, 13k, 33k, 100k and the dense ones
    python benchmarks/pseudo_labels.py --cases 1000000x256:ivf --dense

Every case runs in a process of its own on one thread, and time is CPU time, so a busy machine
spoils little. Memory is the peak above the imported libraries and the features. "floor" is the time
that 2 N^2 D operations take at the matrix-multiplication rate measured in the same process; "share"
is floor / kNN. The dense algorithm is the published one: flat faiss kNN, (N, N) arrays, a row at a
time.

The features are synthetic: Gaussian identities of 17 images in a 200-dimensional subspace, camera
offsets, uneven noise and 5 % hub images, unit length. Real features may be more hub-like,
which costs more pairs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tabulate import tabulate

CASES = ("2000x2048", "12936x2048:float32", "12936x2048", "32621x2048", "100000x512")
DENSE = ("2000x2048", "12936x2048")
STAGES = ("check", "knn", "jaccard", "eps", "dbscan")
NEIGHBOURS = 26.0  # what rho = 0.002 means at 12,936 images; the share does not scale


def people(n: int, d: int, seed: int = 0) -> np.ndarray:
    """(n, d) float32 features of unit length."""
    x, at = np.empty((n, d), np.float32), 0
    for rows in people_parts(n, d, seed):
        x[at : at + len(rows)] = rows
        at += len(rows)
    return x


def people_parts(n: int, d: int, seed: int = 0) -> Iterator[np.ndarray]:
    """The same, 8192 rows at a time."""
    rng = np.random.default_rng(seed)
    identities, width = max(1, n // 17), min(200, d)
    spectrum = (1 + np.arange(width)) ** -0.4

    def draw(count: int) -> np.ndarray:
        return rng.normal(size=(count, width)) * spectrum

    look_alike, mean, camera = draw(max(1, identities // 8)), draw(1), 0.45 * draw(6)
    centre = 0.6 * look_alike[rng.integers(0, len(look_alike), identities)] + draw(identities)
    basis = np.linalg.qr(rng.normal(size=(d, width)))[0].T.astype(np.float32)
    for a in range(0, n, 8192):
        m = min(8192, n - a)
        z = centre[rng.integers(0, identities, m)] + camera[rng.integers(0, 6, m)]
        z += rng.lognormal(-0.45, 0.35, (m, 1)) * draw(m)
        z[rng.random(m) < 0.05] *= 0.3
        rows = (mean + z).astype(np.float32) @ basis
        noise = 0.25 * np.linalg.norm(rows, axis=1).mean() / np.sqrt(d)
        rows += noise * rng.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        yield rows


class Meter:
    """CPU seconds per stage and the peak of resident memory since the start."""

    def __init__(self) -> None:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")  # the peak counts from here
        self.base, self.seconds, self.last = self._status("VmRSS"), {}, time.process_time()

    def lap(self, stage: str) -> None:
        now = time.process_time()
        self.seconds[stage] = now - self.last
        self.last = now

    def peak(self) -> float:
        """GB above the start."""
        return (self._status("VmHWM") - self.base) / 2**20

    @staticmethod
    def _status(key: str) -> int:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(key))


def product_rate(d: int, dtype: torch.dtype) -> float:
    """Operations a CPU second of (1024, d) x (d, 12936), the best of five."""
    left, right = torch.randn(1024, d).to(dtype), torch.randn(12936, d).to(dtype)
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        left @ right.T
        best = min(best, time.process_time() - start)
    return 2 * 1024 * 12936 * d / best


def run_sparse(x: np.ndarray, option: str) -> dict:
    from gcl.pseudo_labels import (
        Limit,
        PseudoLabeler,
        dbscan,
        estimate_eps,
        jaccard_distance,
        nearest_neighbours,
        unit_rows,
    )
    from gcl.pseudo_labels import neighbours as search

    method = option if option in ("ivf", "faiss") else "auto"
    coarse = option if option in ("float32", "bfloat16") else "auto"
    for kind in ("float32", "bfloat16"):  # libraries and compiled code are loaded here
        nearest_neighbours(x[:6000, :64], 30, method=method, coarse=kind)
    PseudoLabeler(rho=NEIGHBOURS)(x[:2000])
    used = search._coarse(torch.from_numpy(x[:1]).expand(len(x), -1), coarse)
    rate = product_rate(x.shape[1], used)

    meter = Meter()
    rows = unit_rows(x)
    meter.lap("check")
    neighbours = nearest_neighbours(rows, 30, method=method, coarse=coarse)
    meter.lap("knn")
    rho = NEIGHBOURS if len(x) > 30_000 else 2e-3
    distance = jaccard_distance(rows, neighbours, limit=Limit(len(x), None, rho, "stable"))
    meter.lap("jaccard")
    eps = estimate_eps(distance.data, len(x), rho)
    meter.lap("eps")
    labels = dbscan(distance, eps)
    meter.lap("dbscan")
    rate = max(rate, product_rate(x.shape[1], used))
    out = {"seconds": meter.seconds, "memory": meter.peak(), "rate": rate}
    out |= {"coarse": str(used).removeprefix("torch."), "pairs": len(distance.data) / len(x)}
    out |= {"radius": float(eps), "clusters": int(labels.max()) + 1}
    if method == "ivf":
        out["recall"] = recall(rows, neighbours.index)
    if len(x) <= 12_936 and option == "auto":  # for the comparison with the dense labels
        out["peers"] = PseudoLabeler(zero_rule="peers")(x).labels.tolist()
    return out | {"outliers": int((labels < 0).sum())}


def recall(x: torch.Tensor, index: np.ndarray, sample: int = 500) -> float:
    """Share of the true 30 neighbours of a random sample that `index` holds."""
    rows = np.random.default_rng(1).choice(len(x), min(sample, len(x)), replace=False)
    truth = (x[rows] @ x.T).topk(index.shape[1], dim=1).indices.numpy()
    found = [len(np.intersect1d(index[i], t)) for i, t in zip(rows, truth, strict=True)]
    return float(np.mean(found) / index.shape[1])


def run_dense(x: np.ndarray, k1: int = 30, k2: int = 6, rho: float = 2e-3) -> dict:
    """k-reciprocal Jaccard distance, rho rule and DBSCAN on (N, N) arrays."""
    import faiss
    from sklearn.cluster import DBSCAN

    n, meter = len(x), Meter()
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    rank = index.search(x, k1)[1]
    meter.lap("knn")

    def reciprocal(i: int, k: int) -> np.ndarray:
        forward = rank[i, :k]
        return forward[(rank[forward, :k] == i).any(axis=1)]

    features, v = torch.from_numpy(x), np.zeros((n, n), np.float32)
    halves = [reciprocal(i, int(np.around(k1 / 2)) + 1) for i in range(n)]
    for i in range(n):
        core = members = reciprocal(i, k1)
        for j in core:
            if len(np.intersect1d(halves[j], core)) > 2 / 3 * len(halves[j]):
                members = np.append(members, halves[j])
        members = np.unique(members)
        distance = 2 - 2 * torch.mm(features[i : i + 1], features[members].t())
        v[i, members] = torch.softmax(-distance, dim=1).view(-1).numpy()
    if k2 > 1:
        mean = np.empty_like(v)
        for i in range(n):
            mean[i] = v[rank[i, :k2]].mean(axis=0)
        v = mean
        del mean
    inverted = [np.flatnonzero(v[:, g]) for g in range(n)]
    jaccard = np.empty((n, n), np.float32)
    for i in range(n):
        smaller = np.zeros(n, np.float32)
        for g in np.flatnonzero(v[i]):
            rows = inverted[g]
            smaller[rows] += np.minimum(v[i, g], v[rows, g])
        jaccard[i] = 1 - smaller / (2 - smaller)
    del v, inverted
    jaccard[jaccard < 0] = 0
    meter.lap("jaccard")
    upper = np.triu(jaccard, 1)
    upper = np.sort(upper[np.nonzero(upper)])
    eps = upper[: int(np.round(rho * upper.size))].mean()
    del upper
    meter.lap("eps")
    labels = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(jaccard)
    meter.lap("dbscan")
    out = {"seconds": meter.seconds, "memory": meter.peak(), "radius": float(eps)}
    return out | {"peers": labels.tolist()}


def in_process(path: str, kind: str, option: str) -> dict:
    command = [sys.executable, __file__, "--worker", path, kind, option]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def rest(seconds: dict[str, float]) -> float:
    return sum(s for stage, s in seconds.items() if stage != "knn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="*", default=CASES, help="NxD[:float32|faiss|ivf]")
    parser.add_argument("--dense", nargs="*", default=DENSE, help="NxD of the dense algorithm")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        torch.set_num_threads(1)
        path, kind, option = args.worker
        x = np.load(path)
        print(json.dumps(run_dense(x) if kind == "dense" else run_sparse(x, option)))
        return

    table, dense = [], {}
    shapes = {case.split(":")[0] for case in args.cases} | set(args.dense)
    for shape in sorted(shapes, key=lambda s: int(s.split("x")[0])):
        n, d = map(int, shape.split("x"))
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, people(n, d))
            file.flush()
            if shape in args.dense:
                dense[shape] = r = in_process(file.name, "dense", "-")
                table.append(row(n, d, "dense", r))
                show(table)
            for case in args.cases:
                if case.split(":")[0] == shape:
                    option = case.partition(":")[2] or "auto"
                    r = in_process(file.name, "sparse", option)
                    table.append(row(n, d, option, r, dense.get(shape)))
                    show(table)


def row(n: int, d: int, option: str, r: dict, dense: dict | None = None) -> dict:
    s = r["seconds"]
    out = {"N": n, "D": d, "how": option} | {t: s.get(t) for t in STAGES}
    out |= {"rest": rest(s), "total": sum(s.values()), "GB": r["memory"]}
    out["whole/kNN"] = out["total"] / s["knn"]
    if option == "dense":
        return out
    floor = 2 * n * n * d / r["rate"]
    out |= {"floor": floor, "share": floor / s["knn"], "coarse": r["coarse"]}
    if dense:
        if "peers" in r:
            out["same labels"] = "yes" if dense["peers"] == r["peers"] else "NO"
        out["rest x"] = rest(dense["seconds"]) / rest(s)
        out["total x"] = sum(dense["seconds"].values()) / sum(s.values())
    for key in ("pairs", "radius", "clusters", "outliers", "recall"):
        out[key] = r.get(key)
    return out


def show(table: list[dict]) -> None:
    print(tabulate(table, headers="keys", floatfmt=".3g", missingval=""), flush=True)
    print(flush=True)


if __name__ == "__main__":
    main()
