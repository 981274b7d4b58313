"""Which credentials a service may be shown: those of the partners that its token is limited to, and keys meant for it."""

from consentry_core.values import names
from consentry_rule import Key, Token


def within_reach(service: Token, credential: Key | Token) -> bool:
    """Whether the service whose token this is may verify and follow the credential, as both are now.

    A key that is limited to audiences is for services whose token names one of them. A service that is limited to partners is
    shown nobody else's credentials; customers' gateways are nobody's of them.
    """
    if isinstance(credential, Key):
        if credential.audiences and service.audience not in credential.audiences:
            return False
        organization = names.PARTNER.format(credential.partner)
    else:
        organization = credential.organization
    return not service.partners or organization in service.partners
