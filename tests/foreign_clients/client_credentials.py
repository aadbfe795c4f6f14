"""Gets a token by client credentials with authlib, and checks it as a resource server would.

Reads a JSON object from standard input: the keys of a published Secret or ConfigMap, and optionally `request-scope`.
Prints a JSON object: {"claims": ...} or {"error": ..., "description": ...}.
"""

import json
import sys

from authlib.integrations.requests_client import OAuth2Session
from authlib.integrations.base_client.errors import OAuthError
from joserfc import jwk, jwt


def main():
    published = json.load(sys.stdin)
    session = OAuth2Session(
        client_id=published["client-id"],
        client_secret=published.get("client-secret"),
        scope=published.get("request-scope", published.get("scope")),
        token_endpoint_auth_method="client_secret_post" if "client-secret" in published else "none",
    )
    try:
        token = session.fetch_token(published["token-uri"], grant_type="client_credentials")
    except OAuthError as refused:
        print(json.dumps({"error": refused.error, "description": refused.description}))
        return
    keys = jwk.KeySet.import_key_set(session.get(published["jwk-set-uri"], withhold_token=True).json())
    decoded = jwt.decode(token["access_token"], keys)
    expected = {"iss": {"essential": True, "value": published["issuer-uri"]}, "exp": {"essential": True}}
    jwt.JWTClaimsRegistry(**expected).validate(decoded.claims)
    print(json.dumps({"claims": decoded.claims, "scope": token.get("scope"), "expires_in": token["expires_in"]}))


main()
