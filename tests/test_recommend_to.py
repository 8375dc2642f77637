"""Rankings in Parquet files, in parts."""

import numpy as np
import pandas as pd
import pytest
from conftest import FAST

from surprise_autorec import AutoRec
from surprise_autorec.model import ranking

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def algorithm(data):
    return AutoRec(**FAST).fit(data.build_full_trainset())


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """7 users a block, 3 blocks a group of rows."""
    monkeypatch.setattr(ranking, "PAIRS_PER_BLOCK", 7 * 50)
    monkeypatch.setattr(ranking, "GROUP_ROWS", 60)


def test_the_file_holds_what_recommend_returns(algorithm, tmp_path):
    n_rows = algorithm.recommend_to(tmp_path / "top.parquet", n=3)
    found = pd.read_parquet(tmp_path / "top.parquet")
    assert n_rows == len(found) > 200
    pd.testing.assert_frame_equal(found, algorithm.recommend(n=3))
    assert [file.name for file in tmp_path.iterdir()] == ["top.parquet"]


@pytest.mark.parametrize("options", [
    {"uids": [5, 3, 9, 3, 11]}, {"n": 60}, {"exclude_rated": False, "n": 2}, {"candidates": [7, 1, 30]},
])  # fmt: skip
def test_options_are_those_of_recommend(algorithm, tmp_path, options):
    algorithm.recommend_to(tmp_path / "top.parquet", **options)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "top.parquet"), algorithm.recommend(**options))


@pytest.mark.parametrize("n_parts", [1, 3, 7, 80, 81])
def test_parts_equal_the_whole(algorithm, tmp_path, n_parts):
    for part in range(1, n_parts + 1):
        algorithm.recommend_to(tmp_path / f"part-{part:03}.parquet", n=4, shard=(part, n_parts))
    parts = [pd.read_parquet(file) for file in sorted(tmp_path.iterdir())]
    assert len(parts) == n_parts
    sizes = [part["user"].nunique() for part in parts]
    assert (sum(sizes), max(sizes) - min(sizes) <= 1) == (80, True)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), algorithm.recommend(n=4))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path), algorithm.recommend(n=4))


def test_the_blocks_do_not_matter(algorithm, monkeypatch):
    model, users = algorithm.model_, np.arange(80, dtype=np.int32)
    some = ranking.rank_items(model, users, 5)
    monkeypatch.setattr(ranking, "PAIRS_PER_BLOCK", 10**9)
    for one, other in zip(some, ranking.rank_items(model, users, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_interrupted_part_leaves_nothing(algorithm, tmp_path, monkeypatch):
    (tmp_path / "top.parquet").write_text("what was there before")
    blocks = ranking.pyarrow("").record_batch
    calls = []

    def interrupt(*arguments, **options):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return blocks(*arguments, **options)

    monkeypatch.setattr(ranking.pyarrow(""), "record_batch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        algorithm.recommend_to(tmp_path / "top.parquet")
    assert (tmp_path / "top.parquet").read_text() == "what was there before"
    assert len(list(tmp_path.iterdir())) == 1


def test_memory_does_not_grow_with_the_users(algorithm, tmp_path, monkeypatch):
    """Blocks are written as they are made: never are many of them waiting."""
    made, waiting = [], []
    real = ranking.rank_blocks

    def counted(*arguments):
        for block in real(*arguments):
            made.append(block)
            waiting.append(len(made) - written[0])
            yield block

    written = [0]
    from pyarrow.parquet import ParquetWriter

    class Writer(ParquetWriter):
        def write_table(self, table, *arguments, **options):
            super().write_table(table, *arguments, **options)
            written[0] = len(made)

    monkeypatch.setattr("surprise_autorec.fitted.rank_blocks", counted)
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter", Writer)
    algorithm.recommend_to(tmp_path / "top.parquet", n=3)
    assert len(made) == 12  # of 7 users and 21 rows
    assert max(waiting) == 3  # until there are 60 rows


def test_ids_of_several_types_are_texts(algorithm, tmp_path):
    with pytest.warns(UserWarning, match="'zoe' is not in the training ratings"):
        algorithm.recommend_to(tmp_path / "top.parquet", [3, "zoe"], n=1)
    assert pd.read_parquet(tmp_path / "top.parquet")["user"].tolist() == ["3", "zoe"]


@pytest.mark.parametrize("uid", [10**30, (1, "a"), frozenset()], ids=str)
def test_ids_that_arrow_has_no_type_for_are_texts(algorithm, tmp_path, uid):
    with pytest.warns(UserWarning, match="is not in the training ratings"):
        algorithm.recommend_to(tmp_path / "top.parquet", [uid], n=1)
    assert pd.read_parquet(tmp_path / "top.parquet")["user"].tolist() == [str(uid)]


def test_texts_that_are_not_in_unicode_are_named(algorithm, tmp_path):
    message = r"ids in a \.parquet file must be texts in Unicode, got '\\ud800'"
    with pytest.warns(UserWarning, match="training"), pytest.raises(ValueError, match=message):
        algorithm.recommend_to(tmp_path / "top.parquet", ["\ud800"], n=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1,), 1, (1, 0), (1.5, 2), "12"])
def test_a_wrong_shard_is_refused(algorithm, tmp_path, shard):
    with pytest.raises(ValueError, match="shard"):
        algorithm.recommend_to(tmp_path / "top.parquet", shard=shard)


def test_other_rules_are_those_of_recommend(algorithm, tmp_path):
    with pytest.raises(ValueError, match="n must be a positive integer, got 0"):
        algorithm.recommend_to(tmp_path / "top.parquet", n=0)
    with pytest.raises(ValueError, match="candidates must be items of the training ratings, got 'x'"):
        algorithm.recommend_to(tmp_path / "top.parquet", candidates=["x"])
    with pytest.raises(FileNotFoundError):
        algorithm.recommend_to(tmp_path / "no" / "top.parquet")


@pytest.mark.parametrize("n_columns", [1, 5, 40, 97, 1000])
@pytest.mark.parametrize("n", [1, 3, 18, 40])
def test_the_largest_scores_are_found_in_groups(n_columns, n):
    import torch

    generator = torch.Generator().manual_seed(n)
    scores = torch.randn(20, n_columns, generator=generator)
    scores[:, ::3] = -torch.inf
    n = min(n, n_columns)
    values, columns = ranking._largest(scores, n)
    assert torch.equal(values, scores.topk(n, dim=1).values)
    assert torch.equal(scores.gather(1, columns), values)
    finite = values.isfinite()
    assert all(len(set(row[kept].tolist())) == kept.sum() for row, kept in zip(columns, finite, strict=True))
