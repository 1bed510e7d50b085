-- Schema version 6 of the buffer: what was read, what stands in the way, and since when.

-- Exchanges and visitors: the versions of the rules by which they are told apart.

-- ESM: what it stated beside its counts.

-- Suites: the verdict of the last check and probe.

-- Runs: what stopped a host or a suite, and since when.

-- Arrivals: when events came in.

-- Rejects: what was kept of rejected lines.
