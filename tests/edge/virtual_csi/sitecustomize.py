"""Found by every Python of the root that has this folder on its path."""

import os

if os.environ.get("VCAM"):
    import vcam_compat  # noqa: F401
