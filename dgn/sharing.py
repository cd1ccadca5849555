"""Has moved to `dgn.prior.sharing`."""

import sys

_MESSAGE = "dgn.sharing has moved: use dgn.prior.sharing"

if __name__ != "__main__":
    raise ImportError(_MESSAGE)
print(f"error: {_MESSAGE} (python -m dgn.prior.sharing)", file=sys.stderr)
sys.exit(2)
