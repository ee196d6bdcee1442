from __future__ import annotations

import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.oidc import CLIENT, SECRET, Provider, query, refusal


def test_a_code_is_exchanged_once_for_a_token_that_its_keys_verify() -> None:
    with Provider() as provider:
        described = requests.get(f"{provider.issuer}/.well-known/openid-configuration", timeout=5).json()
        # The challenge of RFC 7636, appendix B.
        asked = query({
            "client_id": CLIENT, "response_type": "code", "scope": "openid", "state": "s", "nonce": "n",
            "redirect_uri": "http://127.0.0.1/back", "code_challenge_method": "S256",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        })  # fmt: skip
        address = f"{described['authorization_endpoint']}?{asked}"
        answer = provider.authorise(address)
        assert answer["state"] == refusal(address)["state"] == "s"
        form = {
            "grant_type": "authorization_code", "code": answer["code"], "redirect_uri": "http://127.0.0.1/back",
            "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        }  # fmt: skip
        place = described["token_endpoint"]
        assert requests.post(place, form, auth=(CLIENT, "wrong"), timeout=5).status_code == 401
        token = requests.post(place, form, auth=(CLIENT, SECRET), timeout=5).json()
        assert requests.post(place, form, auth=(CLIENT, SECRET), timeout=5).status_code == 400
        keys = KeySet.import_key_set(requests.get(described["jwks_uri"], timeout=5).json())
        assert jwt.decode(token["id_token"], keys).claims["nonce"] == "n"
        assert requests.get(f"{provider.issuer}/else", timeout=5).status_code == 404
