"""``python -m gcl.synthetic DIR``: draw a set into DIR/synthetic-pedestrians."""

from __future__ import annotations

import gcl  # noqa: F401  first: adapts fastreid

from .plan import Settings
from .set_command import draw_by_command
from .set_files import write_set


def main() -> None:
    draw_by_command(
        "python -m gcl.synthetic",
        __doc__,
        Settings(),
        write_set,
        people="of the training set",
        shots="of each person in each camera",
    )


if __name__ == "__main__":
    main()
