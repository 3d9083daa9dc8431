"""What is sent in each datatype."""

import identity
import numpy as np


def array(kind):
    """Two rows with the ends of what a type can hold."""
    if kind == "BYTES":
        return np.array([["", "zwölf"], ["one", "two"]], dtype=np.object_)
    dtype = np.dtype(identity.DATATYPES[kind])
    if kind == "BOOL":
        return np.array([[True, False], [False, True]])
    ends = np.finfo(dtype) if kind.startswith("FP") else np.iinfo(dtype)
    return np.array([[ends.max, ends.min], [1, 0]], dtype=dtype)


def texts(a):
    """BYTES as the text that they are, whichever way they came."""
    return np.array([[x.decode() if isinstance(x, bytes) else x for x in row] for row in a], dtype=np.object_) if a.dtype == np.object_ else a
