"""When an attempt is worth repeating, and how long to wait before it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeGuard

from pytest_realtime_eval.exceptions import InfraError

if TYPE_CHECKING:
    from pytest_realtime_eval.exceptions import RealtimeEvalError

#: Seconds before the second attempt; doubled for each further one.
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 20.0
#: A server that asks for more is not waited for: the run can be resumed later.
LONGEST_RETRY_AFTER_S: Final = 120.0


def is_worth_repeating(error: RealtimeEvalError | None) -> TypeGuard[InfraError]:
    """Whether another attempt could succeed: infrastructure only, never a verdict."""
    return (
        isinstance(error, InfraError)
        and error.retryable
        and not error.fatal
        and (error.retry_after or 0.0) <= LONGEST_RETRY_AFTER_S
    )


def wait_before(attempt: int, error: InfraError, jitter: random.Random | None = None) -> float:
    """Return the seconds to wait before an attempt (the second one is 2).

    Exponential back-off with jitter over its upper half, so that clients that failed
    together do not come back together; never shorter than the server's ``Retry-After``.
    """
    longest = min(_FIRST_WAIT_S * 2 ** (attempt - 2), _LONGEST_WAIT_S)
    drawn = (jitter or random).uniform(longest / 2, longest)
    return max(drawn, error.retry_after or 0.0)
