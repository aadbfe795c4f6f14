"""UiPath's Python SDK with what the operator published."""

import base64
import hashlib
import os
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

# Read when the SDK is loaded: nothing is reported to anybody.
os.environ["UIPATH_TELEMETRY_ENABLED"] = "false"

import httpx
from uipath.platform import UiPath
from uipath.platform.errors import EnrichedException
from uipath.platform.identity import IdentityService

from cases import main
from cloud_address import served_by
from person import Person

FOLDERS = "/orchestrator_/odata/Folders"
QUEUES = "/orchestrator_/odata/QueueDefinitions"


def base_url(given):
    return f"{given['cloud']}/{given['organization']}/{given['tenant']}"


def outcome(call):
    try:
        return call()
    except EnrichedException as refused:
        return {"status": refused.status_code, "body": refused.response_content}


def queues(sdk, folder):
    """The names of the queues of a folder, which is given by its path as the SDK's own services give it."""
    headers = {"x-uipath-folderpath": folder}
    answer = outcome(lambda: sdk.api_client.request("GET", QUEUES, headers=headers))
    return answer if isinstance(answer, dict) else [queue["Name"] for queue in answer.json()["value"]]


def seen(sdk, given):
    """What an application sees of the tenant."""
    folders = sdk.api_client.request("GET", FOLDERS).json()["value"]
    return {
        "folders": sorted(folder["FullyQualifiedName"] for folder in folders),
        "queues": {path: queues(sdk, path) for path in given["folders"]},
    }


def by_identity_service(given):
    """The SDK's client of the identity server, which can be told where that is."""
    keys = given["applications"]["robot"]
    identity = IdentityService(given["cloud"])
    token = identity.get_client_credentials_token(keys["client-id"], keys["client-secret"], keys["scope"])
    return seen(UiPath(base_url=base_url(given), secret=token.access_token), given)


def by_credentials(given):
    """The SDK's own way: it takes the credentials, and asks for the token at Automation Cloud's address."""
    keys = given["applications"]["robot"]
    with served_by("cloud.uipath.com", given["cloud"]) as asked:
        sdk = UiPath(
            base_url=base_url(given),
            client_id=keys["client-id"],
            client_secret=keys["client-secret"],
            scope=keys["scope"],
        )
        wrong = outcome(
            lambda: UiPath(
                base_url=base_url(given),
                client_id=keys["client-id"],
                client_secret="wrong",
                scope=keys["scope"],
            )
        )
        return {**seen(sdk, given), "asked": asked, "wrong": wrong}


def by_refresh(given):
    """What the SDK does with the tokens of a person who has signed in: it renews them, and acts for that person."""
    keys = given["applications"]["dashboard"]
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    request = {
        "response_type": "code",
        "client_id": keys["client-id"],
        "redirect_uri": keys["redirect-uri"],
        "scope": f"{keys['user-scope']} offline_access",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    called = Person(**given["grace"]).answer(f"{keys['authorization-uri']}?{urlencode(request)}")
    redeemed = {
        "grant_type": "authorization_code",
        "client_id": keys["client-id"],
        "redirect_uri": keys["redirect-uri"],
        "code": parse_qs(urlsplit(called).query)["code"][0],
        "code_verifier": verifier,
    }
    first = httpx.post(keys["token-uri"], data=redeemed).raise_for_status().json()
    second = IdentityService(given["cloud"]).refresh_access_token(first["refresh_token"], keys["client-id"])
    rotated = second.refresh_token != first["refresh_token"]
    sdk = UiPath(base_url=base_url(given), secret=second.access_token)
    return {**seen(sdk, given), "rotated": rotated, "scope": second.scope}


main([by_identity_service, by_credentials, by_refresh])
