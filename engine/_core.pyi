import numpy as np

__version__: str
BUILD_PROFILE: str
EVENT_DTYPE: np.dtype[np.void]
TS_NONE: int
SEQ_NONE: int

def replay_book(
    depth: np.ndarray[tuple[int], np.dtype[np.void]],
) -> tuple[
    np.ndarray[tuple[int, int], np.dtype[np.int64]], np.ndarray[tuple[int, int], np.dtype[np.int64]]
]: ...
