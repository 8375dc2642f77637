"""Files to go on from when training was ended: one of each process after each epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from surprise_autorec.core.atomic import remove_parts, written_whole
from surprise_autorec.core.collective import Collective


class Checkpoints:
    """The files of a fit, in a folder. Of the epochs, the newest that all processes have written is kept.

    The folder is made where it is not there. Processes on several machines may share it or have one each.
    ``fit`` says what is fitted, and how: a checkpoint of another fit is refused.
    """

    def __init__(self, folder: Path, fit: Mapping[str, str], collective: Collective) -> None:
        self.folder, self.collective = folder, collective
        self.fit = {**fit, "number of processes": str(collective.size)}

    def save(self, number: int, state: Mapping[str, Any]) -> None:
        """Write the state after an epoch, and remove those before it once all processes have written it."""
        with self.collective.errors_shared(), written_whole(self._path(number)) as file:
            torch.save({"fit": self.fit, "state": state}, file)
        for older in self._written():
            if older < number:
                self._path(older).unlink()

    def load(self) -> dict[str, Any] | None:
        """The state after the newest epoch that all processes have written, or None.

        Raises ValueError if it is of another fit.
        """
        with self.collective.errors_shared():
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_parts(self.folder)  # (no process writes before all have come to the line after the next)
            newest = max(self._written(), default=0)
            contents = self._read(newest)
        epochs = [int(*array) for array in self.collective.gather(torch.tensor([newest]).numpy())]
        with self.collective.errors_shared():
            if min(epochs) < newest:
                contents = self._read(min(epochs))
        return contents

    def _read(self, number: int) -> dict[str, Any] | None:
        if number == 0:
            return None
        path = self._path(number)
        contents = torch.load(path, weights_only=True)
        for name, value in self.fit.items():
            before = contents["fit"].get(name)
            if before != value:
                raise ValueError(
                    f"the checkpoint {path} must be of the same fit: {name} was {before}, got {value}. "
                    "Remove it, or choose another folder"
                )
        state: dict[str, Any] = contents["state"]
        return state

    def _written(self) -> list[int]:
        """The epochs that this process has written."""
        names = (path.name for path in self.folder.glob(self._path("*").name))
        return [int(*re.findall(r"\d+", name)[:1]) for name in names]

    def _path(self, number: int | str) -> Path:
        return self.folder / f"epoch-{number}-of-process-{self.collective.rank}.pt"
