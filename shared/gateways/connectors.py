"""Clients of carriers and of who runs nodes that installed packages bring, for those that do not speak our protocol.

A package names its connectors in the entry point group ``doms.connectors``, a partner the one it is spoken to by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from shared.domain.partners import PartnerEndpoint
from shared.domain.plugins import NoPlugin, plugin
from shared.errors import PartnerUnavailable
from shared.gateways.http import PartnerHttp

GROUP = "doms.connectors"
C = TypeVar("C")


def connected(partner: PartnerEndpoint, http: PartnerHttp, own: Callable[[PartnerHttp], C]) -> C:
    """The client of the partner's connector, else our ``own``, behind the partner's own HTTP with its guard.

    Raises:
        PartnerUnavailable: the connector is not installed, or cannot be made; the call can be tried again when it is.
    """
    if partner.connector is None:
        return own(http)
    try:
        client: C = plugin(GROUP, partner.connector).value(http)
    except NoPlugin as error:
        raise PartnerUnavailable(str(error), partner=partner.partner_id) from error
    except Exception as error:  # whatever a package raises is told, with the connector's name
        why = f"connector {partner.connector} raised {type(error).__name__}: {error}"
        raise PartnerUnavailable(why, partner=partner.partner_id) from error
    return client
