"""Work whose process needs over a second before it can be asked."""

import os
import time

from planted import work

time.sleep(float(os.environ.get("SECONDS_TO_START", "1.2")))

__all__ = ("work",)
