"""Callbacks, which are called after each epoch of training and may end it."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from surprise_autorec.core.training import Epoch, StopTraining

__all__ = ["Callback", "EarlyStopping", "Epoch", "History", "Progress", "StopTraining"]


@runtime_checkable
class Callback(Protocol):
    """An object that the parameter ``callbacks`` accepts: anything with this method."""

    def on_epoch_end(self, state: Epoch) -> None:
        """Called after each epoch.

        Parameters
        ----------
        state : Epoch
            The report of the epoch, with errors in rating points.

        Raises
        ------
        StopTraining
            To end training and keep the current model (with ``early_stopping``, the model of the best epoch).
            Any other exception ends `fit` without a model.
        """


class History:
    """Collects the reports of all epochs in ``epochs``."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def on_epoch_end(self, state: Epoch) -> None:
        """Keep the report."""
        self.epochs.append(state)


class EarlyStopping:
    """Ends training when the validation RMSE has stopped falling.

    Parameters
    ----------
    n_iter_no_change : int
        The number of epochs without progress after which training ends.
    tol : float
        The smallest decrease of the RMSE that counts as progress, in rating points.
    """

    def __init__(self, n_iter_no_change: int, tol: float) -> None:
        self.n_iter_no_change, self.tol = n_iter_no_change, tol
        self.best_rmse, self.n_epochs_without_progress = math.inf, 0

    def on_epoch_end(self, state: Epoch) -> None:
        """Count the epochs without progress."""
        if state.validation_rmse is None:
            raise ValueError("EarlyStopping needs held-out ratings to validate on: set early_stopping=True")
        if state.number == 1:  # possibly of another fit
            self.best_rmse, self.n_epochs_without_progress = math.inf, 0
        progress = state.validation_rmse < self.best_rmse - self.tol
        self.best_rmse = min(self.best_rmse, state.validation_rmse)
        self.n_epochs_without_progress = 0 if progress else self.n_epochs_without_progress + 1
        if self.n_epochs_without_progress >= self.n_iter_no_change:
            raise StopTraining


class Progress:
    """A progress bar with loss, validation RMSE and remaining time, shown inside a ``with`` statement.

    Parameters
    ----------
    n_epochs : int
        The largest possible number of epochs.
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

    def tell(self, line: str) -> None:
        """Show a line above the bar."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)

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
