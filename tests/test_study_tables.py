"""The tables of a comparison."""

import pandas as pd
import pytest

from surprise_autorec.study.tables import text_table


@pytest.mark.parametrize(("fits", "wanted"), [(1, "0.9123"), (5, "0.9123 ± 0.0040")])
def test_a_single_fit_has_no_spread(fits, wanted):
    figures = {"rmse": 0.9123, "rmse_std": 0.004, "mae": 0.7, "mae_std": 0.003}
    times = {"fit_time": 1.0, "test_time": 0.1, "time_ratio": 1.0, "peak_memory": 100.0}
    summary = pd.DataFrame([{**figures, **times, "fits": fits, "failed": 0}], index=["SVD"])
    (row,) = text_table(summary, "plain").splitlines()[1:]
    assert row.startswith(f"SVD          {wanted} ")
