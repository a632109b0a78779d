"""``python -m gcl.synthetic.draw_people DIR``: draw a set into DIR/drawn-people, or more people
into the one that is there."""

from __future__ import annotations

import gcl  # noqa: F401  first: adapts fastreid

from .people_set import PeopleSettings, write_people_set
from .set_command import draw_by_command


def main() -> None:
    draw_by_command(
        "python -m gcl.synthetic.draw_people",
        __doc__,
        PeopleSettings(),
        write_people_set,
        people="in all; every tenth is there to test",
    )


if __name__ == "__main__":
    main()
