"""What processes have alike before they work together; two are played by their collective call."""

from __future__ import annotations

import os

import pytest

from gcl.data import same_lists
from gcl.data.same_lists import digest_of, problem_of_all

NAME = "DATASETS.TESTS MyShop"


def items(root: str = "") -> list[tuple]:
    return [(os.path.join(root, f"{i}.jpg"), i // 2, i % 2) for i in range(4)]


@pytest.fixture
def ask(monkeypatch):
    """``ask((problem, items), ...)`` of each process; the one answer that all of them get."""

    def ask(*processes: tuple[str, list]) -> str:
        monkeypatch.setattr(same_lists.comm, "get_world_size", lambda: len(processes))
        said: list[tuple] = []
        monkeypatch.setattr(same_lists.comm, "all_gather", lambda mine: said.append(mine) or said)
        for problem, listed in processes:
            problem_of_all(problem, NAME, listed)
        monkeypatch.setattr(same_lists.comm, "all_gather", lambda mine: said)
        (answer,) = {problem_of_all(problem, NAME, listed) for problem, listed in processes}
        return answer

    return ask


def test_one_process_has_its_own_problem_or_none():
    assert problem_of_all("", NAME, items()) == ""
    assert problem_of_all("no such folder", NAME, ()) == "no such folder"


def test_equal_lists_are_no_problem(ask):
    assert ask(("", items()), ("", items()), ("", items())) == ""


@pytest.mark.parametrize(
    "other",
    [
        items()[::-1],
        items()[:3],
        [],
        [(path, 1 - person, camera) for path, person, camera in items()],
        [(path, person, camera + 1) for path, person, camera in items()],
        [(f"{path}.png", person, camera) for path, person, camera in items()],
    ],
    ids=["order", "count", "none", "people", "cameras", "images"],
)
def test_lists_that_differ_in_anything_are_one_sentence(ask, other):
    said = ask(("", items()), ("", other))
    assert said.startswith(f"{NAME}: the processes of this job list other images, people or ")
    assert f"(4, {len(other)} images)" in said and "sort" in said
    assert said.endswith(".") and "\n" not in said


def test_a_problem_of_one_process_is_that_of_all(ask):
    assert ask(("", items()), ("no such folder", [])) == "no such folder"


def test_the_folder_of_the_data_sets_has_another_name_on_another_machine():
    assert len({digest_of(items(root)) for root in ("/data", "/mnt/disk/reid", "here")}) == 1


def test_a_list_without_images_and_one_with_a_name_of_any_bytes_have_digests():
    assert digest_of([]) != digest_of([("a/\udcff.jpg", 0)]) != digest_of([("a/x.jpg", 0)])
