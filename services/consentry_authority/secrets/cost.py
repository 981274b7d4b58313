"""What hashing a secret costs. Apart from `passwords`, so that the settings need no Argon2 to be read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run costs. The default is the least that OWASP recommends."""

    memory_kib: int = 19 * 1024
    time: int = 2
    parallelism: int = 1
