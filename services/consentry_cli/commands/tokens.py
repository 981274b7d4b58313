"""`consentry tokens`: credentials of everybody who is not a partner's API key; and `consentry whoami`."""

import click
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import tokens_pb2
from consentry.authority.v1.tokens_pb2_grpc import TokenServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Command, Group
from consentry_cli.params import ORGANIZATION, PARTNER, TIME, TOKEN, EnumValue, final, request_id

_ROLE = EnumValue(tokens_pb2.Token.Role.DESCRIPTOR)
_COLUMNS = ["name", "role", "organization", "display_name", "hint", "create_time", "expire_time", "last_use_time"]


@click.group(cls=Group)
def tokens() -> None:
    """Credentials of everybody else.

    Operators, administrators, gateways, services. With an operator's token or, for their own organisation, an administrator's.
    """


@tokens.command()
@authority_call
@click.option("--role", type=_ROLE, required=True, help="What its holder may do.")
@click.option("--organization", type=ORGANIZATION, help="partners/ID or customers/ID that it acts for.")
@click.option("--display-name", default="", help="For people.")
@click.option("--expire-time", type=TIME, help="When it ends by itself: RFC 3339, or from now (+30d). Never, if left out.")
@click.option(
    "--audience", default="", help="For --role service: what it is to keys that are limited to audiences, such as devices."
)
@click.option(
    "--partner", "partners", type=PARTNER, multiple=True, help="For --role service: limit it to this one's credentials."
)
@request_id
@click.option("--quiet", "-q", is_flag=True, help="Print the secret and nothing else.")
def create(
    call: Call,
    *,
    role: tokens_pb2.Token.Role.ValueType,
    organization: str | None,
    display_name: str,
    expire_time: Timestamp | None,
    audience: str,
    partners: tuple[str, ...],
    request_id: str,
    quiet: bool,
) -> None:
    """Issue a token. Its secret is printed, alone on standard output, and can never be shown again."""
    request = tokens_pb2.CreateTokenRequest(
        role=role,
        organization=organization or "",
        display_name=display_name,
        expire_time=expire_time,
        audience=audience,
        partners=partners,
        request_id=request_id,
    )
    answer = call.ask(TokenServiceStub(call.channel).CreateToken, request)
    call.answers.secret(answer, answer.token, answer.secret, quiet=quiet)


@tokens.command("list")
@authority_call
@click.option("--organization", type=ORGANIZATION, help="partners/ID or customers/ID: only its own.")
def list_(call: Call, organization: str | None) -> None:
    """List tokens, never their secrets."""
    request = tokens_pb2.ListTokensRequest(organization=organization or "")
    call.answers.table(call.ask_all(TokenServiceStub(call.channel).ListTokens, request), "tokens", _COLUMNS)


@tokens.command()
@authority_call
@click.argument("token", type=TOKEN)
@final("This ends the token for good; whoever uses it is cut off")
def delete(call: Call, token: str) -> None:
    """End a token at once. TOKEN is its name, tokens/ID: not its secret."""
    answer = call.ask(TokenServiceStub(call.channel).DeleteToken, tokens_pb2.DeleteTokenRequest(name=token))
    call.answers.show(answer)


@click.command(cls=Command)
@authority_call
def whoami(call: Call) -> None:
    """Tell whose credential this is.

    With any token, any API key.
    """
    call.answers.show(call.ask(TokenServiceStub(call.channel).WhoAmI, tokens_pb2.WhoAmIRequest()))
