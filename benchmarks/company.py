#!/usr/bin/env python
"""One training step alone, beside busy loops and beside trainings of its own kind, on a CPU.

    python benchmarks/company.py --config-file projects/GCL/configs/ablations/pku_scratch.yml

Wall seconds, medians; the ratio is to the same step alone. The three cases are run in turn
``--rounds`` times, with threads that sleep while they wait (what importing gcl sets) and with
threads that spin (what OpenMP does by itself), so that what else the machine does falls on both;
its load is printed, without ours. No data set is needed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from tabulate import tabulate

# "spin": as often as GNU OpenMP does where nobody has said anything; 200 ms are LLVM's
WAYS = {"sleep": {}, "spin": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}}
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
CASES = ("alone", "two busy loops", "three trainings")


def work(config: str, phase: str, steps: int) -> None:
    """Say that all is ready, wait for a line, and take ``steps`` steps (0: as long as the one who
    measures is there, who may be killed)."""
    # here, as the one who measures needs no torch; it imports gcl before torch
    from training_step import model_of, step_of

    parent = os.getppid()
    cfg, model = model_of(config)
    step = step_of(cfg, model, phase)
    for _ in range(2):
        step()
    print("ready", flush=True)
    sys.stdin.readline()
    times: list[float] = []
    while (not steps or len(times) < steps) and os.getppid() == parent:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    if times:
        print(statistics.median(times), flush=True)


class Training:
    """One such process; it steps from :meth:`go` on."""

    def __init__(self, args: argparse.Namespace, steps: int, way: str) -> None:
        command = [sys.executable, __file__, "--config-file", args.config_file]
        command += ["--phase", args.phase, "--work", str(steps)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | WAYS[way],
        )

    def line(self) -> str:
        text = self.process.stdout.readline().strip()
        if not text:
            raise SystemExit("a training ended early: try benchmarks/training_step.py first.")
        return text

    def go(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def measure(args: argparse.Namespace, case: str, way: str) -> float:
    """Seconds of a step."""
    measured = Training(args, args.steps, way)
    others = [Training(args, 0, way) for _ in range(3)] if case == CASES[2] else []
    loops: list[subprocess.Popen] = []
    try:
        for training in (measured, *others):
            training.line()
        for training in others:
            training.go()
        if case == CASES[1]:
            loop = [sys.executable, "-c", BUSY]
            loops = [subprocess.Popen(loop) for _ in range(2)]
        time.sleep(0.5)
        measured.go()
        return float(measured.line())
    finally:
        for process in (measured.process, *(o.process for o in others), *loops):
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--phase", default="contrast")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work is not None:
        work(args.config_file, args.phase, args.work)
        return
    print(f"load before: {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(args.rounds):
        for way in args.ways:
            for case in CASES:
                took = measure(args, case, way)
                found.setdefault((way, case), []).append(took)
                print(f"{way}, {case}: {took:.3f} s", file=sys.stderr, flush=True)
    rows = []
    for way in args.ways:
        alone = statistics.median(found[way, CASES[0]])
        for case in CASES:
            took = statistics.median(found[way, case])
            rows.append((way, case, f"{took:.3f}", f"{took / alone:.2f}"))
    print(tabulate(rows, headers=("threads that wait", "beside", "s / step", "ratio")))


if __name__ == "__main__":
    main()
