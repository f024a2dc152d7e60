"""What holds for all tests."""

import os

if os.environ.get("WHALEFINDER_TEST_NO_MKLDNN"):  # make test-processors
    import torch

    torch.backends.mkldnn.enabled = False
