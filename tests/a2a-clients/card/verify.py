"""Checks a signed card with PyPI's a2a-sdk: verify.py WHAT CARD.json KEY. Prints one line a check.

KEY is a public key in hex, the reader's own; or the file of a JSON Web Key Set, in which the card's
signature names its key.
"""

import base64
import json
import os
import sys

from a2a.types import AgentCard
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.json_format import Parse, ParseError

what, path, key = sys.argv[1:]
text = open(path, encoding="utf-8").read()
listed = json.load(open(key))["keys"] if os.path.exists(key) else None


def trusted(kid, jku):
    if listed is None:
        # The key is the reader's own, whatever the card says of keys.
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    assert jku.endswith("/.well-known/jwks.json"), jku
    (x,) = [one["x"] for one in listed if one["kid"] == kid]
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "="))


verify = create_signature_verifier(trusted, ["EdDSA"])


def holds(text):
    try:
        # As the SDK itself reads a card it has fetched.
        verify(Parse(text, AgentCard(), ignore_unknown_fields=listed is not None))
    except (InvalidSignaturesError, ParseError):
        return False
    return True


def check(name, passed):
    print("ok  " if passed else "FAIL", "python", name)
    return passed


changed = json.loads(text)
changed["skills"][0]["description"] += "!"
good = check(what, holds(text))
good &= check(f"refused: {what} with a changed skill", not holds(json.dumps(changed)))
sys.exit(not good)
