"""Callbacks: what is called after each epoch of training, and may end it."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from surprise_autorec.core.training import Epoch, StopTraining

__all__ = ["Callback", "EarlyStopping", "Epoch", "History", "Progress", "StopTraining"]


@runtime_checkable
class Callback(Protocol):
    """What the parameter ``callbacks`` takes: any object with this method."""

    def on_epoch_end(self, state: Epoch) -> None:
        """Do something after an epoch.

        Parameters
        ----------
        state : Epoch
            Its errors are in rating points.

        Raises
        ------
        StopTraining
            To end training here, with the model as it is (with ``early_stopping``, that of the best epoch). Any other
            exception ends `fit` without a model.
        """


class History:
    """Keeps the report of every epoch, of every fit that it is told of, in ``epochs``."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def on_epoch_end(self, state: Epoch) -> None:
        """Keep it."""
        self.epochs.append(state)


class EarlyStopping:
    """Ends training when the validation RMSE has not fallen for some epochs.

    Parameters
    ----------
    n_iter_no_change : int
        After how many epochs without progress.
    tol : float
        By how much the RMSE must fall to count as progress, in rating points.
    """

    def __init__(self, n_iter_no_change: int, tol: float) -> None:
        self.n_iter_no_change, self.tol = n_iter_no_change, tol
        self.best_rmse, self.n_epochs_without_progress = math.inf, 0

    def on_epoch_end(self, state: Epoch) -> None:
        """Count the epochs without progress."""
        if state.validation_rmse is None:
            raise ValueError("EarlyStopping must have ratings held out to judge by: set early_stopping=True")
        if state.number == 1:  # of another fit, maybe
            self.best_rmse, self.n_epochs_without_progress = math.inf, 0
        progress = state.validation_rmse < self.best_rmse - self.tol
        self.best_rmse = min(self.best_rmse, state.validation_rmse)
        self.n_epochs_without_progress = 0 if progress else self.n_epochs_without_progress + 1
        if self.n_epochs_without_progress >= self.n_iter_no_change:
            raise StopTraining


class Progress:
    """A progress bar with loss, validation RMSE and time left, shown while inside a ``with`` statement.

    Parameters
    ----------
    n_epochs : int
        How many epochs there are to be, at most.
    verbose : bool
        Whether to show it.
    """

    def __init__(self, n_epochs: int, verbose: bool) -> None:
        self.n_epochs, self.verbose = n_epochs, verbose
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.verbose:
            from tqdm.auto import tqdm  # here, to keep the import of the package fast

            self.bar = tqdm(total=self.n_epochs, desc="AutoRec", unit="epoch")
        return self

    def on_epoch_end(self, state: Epoch) -> None:
        """Show the epoch."""
        if self.bar is None:
            return
        figures = {"loss": f"{state.loss:.4f}"}
        if state.validation_rmse is not None:
            figures["validation RMSE"] = f"{state.validation_rmse:.4f}"
        self.bar.set_postfix(figures, refresh=False)
        self.bar.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
