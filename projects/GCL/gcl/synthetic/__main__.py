"""``python -m gcl.synthetic DIR``: draw a set into DIR/synthetic-pedestrians."""

from __future__ import annotations

import argparse
import logging
import sys

import gcl  # noqa: F401  first: adapts fastreid
from gcl.cores import usable_cores

from .plan import Settings
from .set_files import write_set


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gcl.synthetic", description=__doc__)
    usual = Settings()
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--people", type=int, default=usual.people, help="of the training set")
    parser.add_argument("--test-people", type=int, default=usual.test_people)
    parser.add_argument("--cameras", type=int, default=usual.cameras)
    parser.add_argument(
        "--shots", type=int, default=usual.shots, help="of each person in each camera"
    )
    parser.add_argument("--size", type=int, nargs=2, default=usual.size, metavar=("H", "W"))
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--workers", type=int, default=usable_cores(), help="processes")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = Settings(
            people=args.people,
            test_people=args.test_people,
            cameras=args.cameras,
            shots=args.shots,
            height=args.size[0],
            width=args.size[1],
            seed=args.seed,
        )
        write_set(args.dir, settings, workers=args.workers)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
