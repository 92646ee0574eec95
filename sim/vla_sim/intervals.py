"""How sure a success rate is; see `vla.intervals`."""

from vla.intervals import Z_95 as Z_95
from vla.intervals import Share as Share
from vla.intervals import share as share
from vla.intervals import wilson_interval as wilson_interval
