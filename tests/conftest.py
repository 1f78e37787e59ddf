"""What every test shares: a fixed device, no writes to the home folder, real logs where they lie beside the project."""

from __future__ import annotations

import os

# before jax is imported anywhere; ORL_TEST_PLATFORM=cuda runs the same tests on a GPU
os.environ.setdefault("JAX_PLATFORMS", os.environ.get("ORL_TEST_PLATFORM", "cpu"))
