"""Checks a signed card with PyPI's a2a-sdk: verify.py CARD.json PUBLIC_KEY_HEX. Prints one line a check."""

import json
import sys

from a2a.types import AgentCard
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.json_format import Parse, ParseError

path, key = sys.argv[1:]
text = open(path, encoding="utf-8").read()
trusted = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
# The key is the reader's own, whatever the card says of keys.
verify = create_signature_verifier(lambda kid, jku: trusted, ["EdDSA"])


def holds(text):
    try:
        verify(Parse(text, AgentCard()))
    except (InvalidSignaturesError, ParseError):
        return False
    return True


def check(name, passed):
    print("ok  " if passed else "FAIL", "python", name)
    return passed


changed = json.loads(text)
changed["skills"][0]["description"] += "!"
good = check("a mesh card as it travels", holds(text))
good &= check("refused: a changed skill", not holds(json.dumps(changed)))
sys.exit(not good)
