"""What holds for all tests."""

import os

if os.environ.get("PYTEST_XDIST_WORKER"):
    # Each worker has a core of its own. Threads of two workers would wait for one another, each of them busily.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if os.environ.get("WHALEFINDER_TEST_NO_MKLDNN"):  # make test-processors
    import torch

    torch.backends.mkldnn.enabled = False
