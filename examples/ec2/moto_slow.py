"""A cloud on this machine: moto's server, with EC2 machines that take their time.

moto moves a machine from `pending` to `running` before anybody can look. Here `pending`, `stopping` and
`shutting-down` last EC2_DELAY seconds (4 by default), as at a real cloud, only shorter.

Usage: EC2_DELAY=4 moto_slow.py -H 127.0.0.1 -p 5000
"""

import os
import sys
import time

from moto.ec2.models import instances
from moto.server import main

DELAY = float(os.environ.get("EC2_DELAY", "4"))
CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
ON_THE_WAY = {"running": "pending", "stopped": "stopping", "terminated": "shutting-down"}


class SlowState:
    """Takes the place of moto's InstanceState: a state that is reached only after the delay."""

    def __init__(self, name, code=None):
        self._become(name)

    def _become(self, name):
        self.goal = name
        self.reached_at = time.monotonic() + (DELAY if name in ON_THE_WAY else 0)

    @property
    def name(self):
        reached = time.monotonic() >= self.reached_at
        return self.goal if reached else ON_THE_WAY[self.goal]

    @name.setter
    def name(self, name):
        if name != self.goal:
            self._become(name)

    @property
    def code(self):
        return CODES[self.name]

    @code.setter
    def code(self, code):
        """Nothing to do: the code follows from the name."""

    def __copy__(self):
        """moto copies a state to remember it as the previous one; that copy must not move on."""
        still = SlowState(self.name)
        still.reached_at = 0
        return still


if __name__ == "__main__":
    instances.InstanceState = SlowState
    main(sys.argv[1:])
