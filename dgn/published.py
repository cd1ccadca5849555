"""Has moved to `dgn.prior.published`."""

import sys

_MESSAGE = "dgn.published has moved: use dgn.prior.published"

if __name__ != "__main__":
    raise ImportError(_MESSAGE)
print(f"error: {_MESSAGE} (python -m dgn.prior.published)", file=sys.stderr)
sys.exit(2)
