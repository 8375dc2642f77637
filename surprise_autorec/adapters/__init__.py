"""Rating predictors of other packages as algorithms of Surprise.

The packages are extras: ``pip install 'surprise-autorec[lenskit,cornac,myfm]'``.
"""

from surprise_autorec.adapters.cornac import Cornac
from surprise_autorec.adapters.lenskit import LensKit
from surprise_autorec.adapters.myfm import MyFM

__all__ = ["Cornac", "LensKit", "MyFM"]
