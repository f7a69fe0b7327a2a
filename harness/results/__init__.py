"""Reading records. In scope: store, table, front, plots. Out of scope: measuring; no ML framework is imported here.

`harness.results.frame()` gives all records as a pandas data frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RECORDS_FOLDER = Path("bench_results/records")


def frame(folder: Path = RECORDS_FOLDER) -> pd.DataFrame:
    """One row per record and quantity; see `harness.results.frames`. Raises RecordError, or UnavailableError without pandas."""
    from harness.results import frames

    return frames.frame(folder)
