"""authlib with what the operator published."""

import secrets
from urllib.parse import parse_qs, urlsplit

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwk, jwt

from cases import main
from person import Person

OPENID = "openid profile email offline_access"


def session(keys, scope=None, **more):
    """The client that a Secret or ConfigMap describes."""
    secret = keys.get("client-secret")
    return OAuth2Session(
        client_id=keys["client-id"],
        client_secret=secret,
        scope=scope,
        redirect_uri=keys.get("redirect-uri"),
        token_endpoint=keys["token-uri"],
        # authlib does not encode what it puts into a Basic header, and secrets may hold characters that matter there.
        token_endpoint_auth_method="client_secret_post" if secret else "none",
        revocation_endpoint_auth_method="client_secret_post" if secret else "none",
        code_challenge_method="S256",
        **more,
    )


def metadata(keys):
    return session(keys).get(
        keys["issuer-uri"] + "/.well-known/openid-configuration", withhold_token=True
    ).json()


def verified(keys, token, **expected):
    """A token whose signature and claims are checked as a resource server would."""
    known = jwk.KeySet.import_key_set(session(keys).get(keys["jwk-set-uri"], withhold_token=True).json())
    decoded = jwt.decode(token, known)
    expected = {
        "iss": {"essential": True, "value": keys["issuer-uri"]},
        "exp": {"essential": True},
        **{name: {"essential": True, "value": value} for name, value in expected.items()},
    }
    jwt.JWTClaimsRegistry(**expected).validate(decoded.claims)
    return decoded


def outcome(call):
    try:
        return call()
    except OAuthError as refused:
        return {"error": refused.error, "description": refused.description}


def signed_in(client, keys, person, scope, pkce=True, decision="allow", **more):
    """Has a person answer a request of this client: the tokens, and the nonce that the ID token must have."""
    nonce = secrets.token_urlsafe(16)
    verifier = secrets.token_urlsafe(48) if pkce else None
    url, state = client.create_authorization_url(
        keys["authorization-uri"], scope=scope, nonce=nonce, code_verifier=verifier, **more
    )
    called = Person(**person).answer(url, decision)
    answer = parse_qs(urlsplit(called).query)
    assert answer.get("iss") == [keys["issuer-uri"]], called
    if "error" in answer:
        # authlib leaves this to whoever uses it.
        raise OAuthError(answer["error"][0], answer["error_description"][0])
    tokens = client.fetch_token(
        keys["token-uri"], authorization_response=called, state=state, code_verifier=verifier
    )
    return tokens, nonce


def discovery(given):
    return metadata(given["applications"]["worker"])


def client_credentials(given):
    keys = given["applications"]["worker"]
    client = session(keys, keys["scope"])
    token = client.fetch_token(grant_type="client_credentials")
    claims = verified(keys, token["access_token"], client_id=keys["client-id"]).claims
    return {"claims": claims, "scope": token["scope"], "expires_in": token["expires_in"]}


def code(given):
    keys = given["applications"]["portal"]
    client = session(keys)
    tokens, nonce = signed_in(client, keys, given["ada"], f"openid profile email {keys['user-scope']}", pkce=False)
    described = metadata(keys)
    access = tokens["access_token"]
    introspected = client.introspect_token(described["introspection_endpoint"], token=access)
    return {
        "kinds": sorted(tokens),
        "id": identity(keys, tokens, nonce),
        "claims": verified(keys, access, client_id=keys["client-id"]).claims,
        "person": client.get(described["userinfo_endpoint"]).json(),
        "introspected": introspected.json(),
    }


def identity(keys, tokens, nonce):
    """The claims of the ID token, checked by authlib's own rules for it."""
    token = verified(keys, tokens["id_token"], aud=keys["client-id"], nonce=nonce)
    claims = CodeIDToken(
        token.claims,
        token.header,
        {"nonce": {"value": nonce}},
        {"nonce": nonce, "client_id": keys["client-id"], "access_token": tokens["access_token"]},
    )
    claims.validate()
    return dict(claims)


def code_with_pkce(given):
    keys = given["applications"]["desktop"]
    client = session(keys)
    tokens, nonce = signed_in(client, keys, given["ada"], f"{OPENID} {keys['user-scope']}")
    person = client.get(metadata(keys)["userinfo_endpoint"]).json()
    claims = verified(keys, tokens["access_token"], client_id=keys["client-id"]).claims
    return {"kinds": sorted(tokens), "id": identity(keys, tokens, nonce), "claims": claims, "person": person}


def refresh(given):
    keys = given["applications"]["desktop"]
    client = session(keys)
    first, _ = signed_in(client, keys, given["ada"], f"{OPENID} {keys['user-scope']}")
    spent = first["refresh_token"]
    second = client.refresh_token(keys["token-uri"], refresh_token=spent)
    return {
        "rotated": second["refresh_token"] != spent,
        "claims": verified(keys, second["access_token"], client_id=keys["client-id"]).claims,
        "replayed": outcome(lambda: client.refresh_token(keys["token-uri"], refresh_token=spent)),
        "family": outcome(lambda: client.refresh_token(keys["token-uri"], refresh_token=second["refresh_token"])),
    }


def revocation(given):
    keys = given["applications"]["portal"]
    client = session(keys)
    described = metadata(keys)
    tokens, _ = signed_in(client, keys, given["ada"], f"{OPENID} {keys['user-scope']}")
    revoked = client.revoke_token(described["revocation_endpoint"], token=tokens["refresh_token"])
    introspected = client.introspect_token(described["introspection_endpoint"], token=tokens["access_token"])
    return {
        "status": revoked.status_code,
        "refresh": outcome(
            lambda: client.refresh_token(keys["token-uri"], refresh_token=tokens["refresh_token"])
        ),
        "person": client.get(described["userinfo_endpoint"]).status_code,
        "introspected": introspected.json(),
    }


def denied(given):
    keys = given["applications"]["portal"]
    return outcome(lambda: signed_in(session(keys), keys, given["ada"], keys["user-scope"], decision="cancel"))


def refusals(given):
    """Every grant that the type of an application, or the types of its scopes, does not allow."""
    applications = given["applications"]
    worker, robot, portal, desktop = (applications[name] for name in ["worker", "robot", "portal", "desktop"])

    def credentials(keys, scope, **change):
        client = session({**keys, **change}, scope)
        return outcome(lambda: client.fetch_token(grant_type="client_credentials"))

    def fetch(keys, **parameters):
        return outcome(lambda: session(keys).fetch_token(keys["token-uri"], **parameters))

    def authorize(keys, scope, **change):
        return outcome(lambda: signed_in(session(keys), keys, given["ada"], scope, **change))

    return {
        "credentials_of_a_desktop": credentials(desktop, desktop["user-scope"]),
        "credentials_with_user_scopes_only": credentials(portal, portal["user-scope"]),
        "credentials_with_a_user_scope": credentials(worker, worker["user-scope"]),
        "credentials_with_an_unknown_scope": credentials(worker, "OR.Machines"),
        "credentials_with_offline_access": credentials(worker, f"{worker['scope']} offline_access"),
        "wrong_secret": credentials(worker, worker["scope"], **{"client-secret": "wrong"}),
        "request_of_one_without_user_scopes": authorize(robot, "OR.Default"),
        "code_without_user_scopes": fetch(robot, grant_type="authorization_code", code="x"),
        "request_with_an_application_scope": authorize(worker, "openid OR.Queues"),
        "request_without_pkce": authorize(desktop, desktop["user-scope"], pkce=False),
        "password": fetch(
            worker, grant_type="password", username=given["ada"]["email"], password=given["ada"]["password"]
        ),
    }


main([discovery, client_credentials, code, code_with_pkce, refresh, revocation, denied, refusals])
