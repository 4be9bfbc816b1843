"""torchrun that ends when the launcher that started it ends: `python -m hydra_plugins.kairos_torchrun.agent ...`."""

from __future__ import annotations

import signal

from torch.distributed.run import main

from kairos.core.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent(signal.SIGTERM)
    main()
