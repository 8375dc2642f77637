"""Files of a few ratings, for the tests of the data."""

from pathlib import Path

import numpy as np
import pandas as pd

FRAME = pd.DataFrame(
    {
        "userId": [7, 3, 7, 12],
        "movieId": [20, 10, 5, 20],
        "rating": [4.0, 0.5, 3.5, 5.0],
        "timestamp": [881250949, 881250950, 881250951, 881250952],
    }
)
INTER_HEADERS = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
WRITERS = {
    ".data": lambda file: FRAME.to_csv(file, sep="\t", header=False, index=False),
    ".dat": lambda file: file.write_text(
        "".join("::".join(map(str, row)) + "\n" for row in FRAME.to_numpy(object))
    ),
    ".csv": lambda file: FRAME.to_csv(file, index=False),
    ".inter": lambda file: FRAME.to_csv(file, sep="\t", header=INTER_HEADERS, index=False),
    ".parquet": lambda file: FRAME.to_parquet(file),
    ".npz": lambda file: np.savez(
        file,
        user=FRAME["userId"],
        item=FRAME["movieId"],
        rating=FRAME["rating"],
        timestamp=FRAME["timestamp"],
    ),
}
NUMBERS = [(7, 20, 4.0, 881250949), (3, 10, 0.5, 881250950), (7, 5, 3.5, 881250951), (12, 20, 5.0, 881250952)]
STRINGS = [(str(user), str(item), rating, str(time)) for user, item, rating, time in NUMBERS]


def write(file: Path) -> Path:
    """FRAME in the format that the file's suffix says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[file.suffix](file)
    return file


def write_inter(file: Path, rating: int) -> None:
    """One rating, to tell files apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\t".join(INTER_HEADERS) + f"\n1\t1\t{rating}\t0\n")


def write_data(file: Path, rating: int) -> None:
    """One rating, to tell files apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"1\t1\t{rating}\t0\n")
