"""The estimate of the memory that training needs, and what is said of it."""

import os

import pytest
from conftest import FAST

from surprise_autorec import AutoRec, fitting, memory_needed
from surprise_autorec.memory import machine_memory

SIZE = {"n_ratings": 10_000_000, "n_users": 100_000, "n_items": 10_000}


def needed(size=SIZE, **keywords):
    return memory_needed(AutoRec(**keywords), **size)


def test_the_estimate_by_hand():
    ratings, weights = 10_000_000 * (16 + 36), 64 * (100_000 + 100_000 + 10_000) * 20
    vectors = 64 * 100_000 * 12
    assert needed(n_factors=64) == ratings + weights + vectors
    assert needed(n_factors=64, two_sided=False) == ratings + 64 * 200_000 * 20
    assert (
        needed(n_factors=64, variant="user") == ratings + 64 * (10_000 * 2 + 100_000) * 20 + 64 * 10_000 * 12
    )


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"n_factors": 64}, {"n_factors": 65}),
        ({"n_factors": 64}, {"n_factors": (64, 65)}),
        ({"two_sided": False}, {"two_sided": True}),
        ({"variant": "item"}, {"variant": "hybrid"}),
        ({"variant": "user"}, {"variant": "item"}),
        ({"n_estimators": 1}, {"n_estimators": 2}),
        ({"early_stopping": False}, {"early_stopping": True}),
        ({"optimizer": "adam"}, {"optimizer": "lbfgs"}),
        ({}, {"size": {**SIZE, "n_ratings": 10_000_001}}),
        ({}, {"size": {**SIZE, "n_users": 100_001}}),
        ({}, {"size": {**SIZE, "n_items": 10_001}}),
    ],
)
def test_the_estimate_grows_with_what_needs_memory(less, more):
    assert needed(**less) < needed(**more)


def test_the_estimate_is_for_the_largest_automatic_width():
    few, many = ({**SIZE, "n_ratings": n} for n in (1_000_000, 10_000_000))
    assert needed(few) == needed(few, n_factors=64)  # 10 ratings a column carry less than the least
    assert needed(many) == needed(many, n_factors=256)


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match="n_factors must be"):
        needed(n_factors=0)


def test_verbose_tells_of_it(trainset, capsys):
    AutoRec(**FAST, verbose=True).fit(trainset)
    assert "Training needs about 0 MB of memory\n" in capsys.readouterr().err


def test_too_little_memory_is_a_warning_that_says_what_to_lower(trainset, monkeypatch):
    monkeypatch.setattr(fitting, "machine_memory", lambda: 1000)
    message = (
        r"training needs about 0 MB of memory, but there is only 0 MB: lower n_factors \(16\), the number of "
        r"networks \(2, by variant and n_estimators\) or the number of ratings"
    )
    with pytest.warns(UserWarning, match=message):
        AutoRec(**FAST, variant="hybrid").fit(trainset)
    with pytest.warns(UserWarning, match=r"n_factors \(auto\)"):
        AutoRec(**{**FAST, "n_factors": "auto"}).fit(trainset)


@pytest.mark.parametrize("available", [None, 10**15])
def test_enough_memory_or_nobody_knows_how_much_is_no_warning(trainset, monkeypatch, available):
    monkeypatch.setattr(fitting, "machine_memory", lambda: available)
    AutoRec(**FAST).fit(trainset)


def tree(root, cgroup, limits):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for place, text in limits.items():
        (root / "sys/fs/cgroup" / place).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / place).write_text(text)
    return root


@pytest.fixture
def installed():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("cgroup", "limits", "least"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "3000\n", "a/memory.max": "4000\n"}, 3000),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "4000\n"}, 4000),
        ("0::/../elsewhere\n", {"memory.max": "5000\n"}, 5000),
        ("4:cpu:/x\n7:memory:/a\n", {"memory/a/memory.limit_in_bytes": "6000", "cpu/memory.max": "1"}, 6000),
    ],
)  # fmt: skip
def test_limits_of_control_groups_count(tmp_path, cgroup, limits, least):
    assert machine_memory(tree(tmp_path, cgroup, limits)) == least


def test_without_limits_it_is_what_is_installed(tmp_path, installed):
    assert machine_memory(tmp_path) == installed
    assert machine_memory(tree(tmp_path, "0::/\n", {"memory.max": "max\n"})) == installed


def test_a_system_that_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert machine_memory(tmp_path) is None
