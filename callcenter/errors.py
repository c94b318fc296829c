"""The exception tree.

CallcenterError
├── ProtocolError          the other side sent something that the protocol forbids
│   └── MessageTooLarge    ... or too much of it
├── Refused                we said no, on purpose; carries a short code for metrics
│   ├── Unauthorized       signature, token or allow-list
│   ├── NoCapacity         no free slot
│   └── Draining           the worker takes no new session
├── BrokerUnavailable      Redis does not answer
│   └── NotGenuine         (published.signing) ... or holds what the admin app did not make
├── LinkLost               the connection to the worker ended without an "end"
└── ConfigurationError     a setting, route or persona file is wrong; names the place
"""

from __future__ import annotations


class CallcenterError(Exception):
    """Base of every error that this package raises on purpose."""


class ProtocolError(CallcenterError):
    """The other side sent something that the protocol forbids."""


class MessageTooLarge(ProtocolError):
    """A message is over its size limit."""


class Refused(CallcenterError):
    """A request was refused on purpose.

    Attributes:
        code: short, stable, low-cardinality: usable as a metric label.
    """

    code = "refused"


class Unauthorized(Refused):
    """A signature, a token or an allow-list said no."""

    code = "unauthorized"


class NoCapacity(Refused):
    """No worker has a free slot."""

    code = "no_capacity"


class Draining(Refused):
    """The worker takes no new session."""

    code = "draining"


class BrokerUnavailable(CallcenterError):
    """Redis does not answer, or answers with an error."""


class LinkLost(CallcenterError):
    """The connection between gateway and worker ended without an "end" message."""


class ConfigurationError(CallcenterError):
    """A setting, a route or a persona file is wrong; the message names the place."""
