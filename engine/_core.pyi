import numpy as np

__version__: str
BUILD_PROFILE: str
EVENT_DTYPE: np.dtype[np.void]
TS_NONE: int
SEQ_NONE: int
