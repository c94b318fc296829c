"""Every environment variable of every program, once, checked at start-up and then frozen.

A variable's name is its field's name in capitals: `redis_url` is read from `REDIS_URL`.
Each program builds its own class once and hands the values on as arguments; nothing else in the
package looks at the environment. A class a program, in a file of the program's name:

    common.py     what all of them read
    gateway.py    sip.py    worker.py    admin.py

There is no default for a secret: a program without its secrets does not start.
"""

from callcenter.settings.admin import AdminSettings
from callcenter.settings.common import LogLevel
from callcenter.settings.gateway import FallbackVerb, GatewaySettings
from callcenter.settings.sip import SipSettings
from callcenter.settings.worker import EngineKind, WorkerSettings

__all__ = [
    "AdminSettings",
    "EngineKind",
    "FallbackVerb",
    "GatewaySettings",
    "LogLevel",
    "SipSettings",
    "WorkerSettings",
]
