"""torchrun that ends when the launcher that started it ends: `python -m hydra_plugins.kairos_torchrun.agent ...`."""

from __future__ import annotations

import os
import signal

from torch.distributed.run import main

from kairos.core.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent(signal.SIGTERM)
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")  # a restart would find the dead ranks' addresses
    main()
