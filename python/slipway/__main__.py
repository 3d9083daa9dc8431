"""`python -m slipway` is the program `platform`, for when its directory is not on the PATH."""

import os
import sys

from ._errors import Error
from ._program import find_platform_bin

if __name__ == "__main__":
    try:
        program = find_platform_bin()
    except Error as e:
        sys.exit(str(e))
    os.execv(program, [program, *sys.argv[1:]])
