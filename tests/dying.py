"""`surprise_autorec.distributed` as torchrun starts it, with a process that dies at a given place.

Usage: torchrun ... dying.py PLACE[,PLACE...] fit ...

At the n-th start, process 1 is killed at the n-th place.
"""

import os
import signal
import sys

import torch

from surprise_autorec.core.learner import Learner
from surprise_autorec.distributed import app


def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_middle_of_an_epoch():
    """In the third epoch, after its first step."""
    run_epoch, step = Learner.run_epoch, Learner._step
    made = []

    def step_or_die(self, batch):
        if made[-1:] == ["third"]:
            die()
        if made:
            made.append("third")
        return step(self, batch)

    def watched(self, number):
        if number == 3:
            made.append("begun")
        return run_epoch(self, number)

    Learner.run_epoch, Learner._step = watched, step_or_die


def die_in_the_middle_of_a_write():
    """Of the checkpoint of the fourth epoch."""
    save = torch.save

    def half_saved(contents, file):
        if len(contents["state"]["epochs"]) < 4:
            save(contents, file)
            return
        file.write(b"half of it")
        file.flush()
        die()

    torch.save = half_saved


PLACES = {"epoch": die_in_the_middle_of_an_epoch, "write": die_in_the_middle_of_a_write}

if __name__ == "__main__":
    places, *arguments = sys.argv[1:]
    start = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if os.environ["RANK"] == "1":
        PLACES[places.split(",")[start]]()
    app(arguments)
