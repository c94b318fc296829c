"""The keys of the tests' admin app: what it signs, their gateways take."""

from callcenter.published.board import Board
from callcenter.published.signing import Signer, key_ring, new_pair, signer

SIGNING_KEY, PUBLIC_KEY = new_pair()
SIGNER: Signer = signer(SIGNING_KEY, "")


def admins_board(redis) -> Board:
    """Publishes and orders."""
    return Board(redis, signer=SIGNER)


def readers_board(redis) -> Board:
    """Reads what `admins_board` wrote, and nothing else."""
    return Board(redis, key_ring(PUBLIC_KEY))
