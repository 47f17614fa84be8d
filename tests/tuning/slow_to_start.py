"""Work whose process needs over a second before it can be asked."""

import time

from planted import work

time.sleep(1.2)

__all__ = ("work",)
