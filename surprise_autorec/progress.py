"""What ``verbose=True`` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from surprise_autorec.core.training import Epoch


@contextmanager
def epoch_progress(n_epochs: int, unit: float, verbose: bool) -> Iterator[Callable[[Epoch], None]]:
    """A progress bar over epochs with loss, validation RMSE and time left; yields what to call after each.

    Parameters
    ----------
    n_epochs : int
        How many epochs there are to be, at most.
    unit : float
        Rating points in one point of the scale that the core works on.
    verbose : bool
        Whether to show anything.
    """
    if not verbose:
        yield lambda _epoch: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_epochs, desc="AutoRec", unit="epoch") as bar:

        def show(epoch: Epoch) -> None:
            figures = {"loss": f"{epoch.loss * unit**2:.4f}"}
            if epoch.validation_rmse is not None:
                figures["validation RMSE"] = f"{epoch.validation_rmse * unit:.4f}"
            bar.set_postfix(figures, refresh=False)
            bar.update()

        yield show
