"""Signs a person in with authorization code and PKCE (RFC 6749, 7636, 8252), with nothing but Python's own library.

    kubectl -n finance get configmap onboarding-desktop-oauth -o json > details.json
    python3 sign_in.py details.json

Prints what the token is for, never the token.
"""
import base64
import hashlib
import hmac
import http.server
import json
import secrets
import sys
import threading
import urllib.parse
import urllib.request
import webbrowser


def authorization_request(details, verifier, state):
    """Where the browser is sent. The challenge is a digest of the verifier, which stays here."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": details["client-id"],
        "redirect_uri": details["redirect-uri"],
        "scope": details["user-scope"],
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{details['authorization-uri']}?{urllib.parse.urlencode(query)}"


def wait_for_answer(redirect_uri, state, open_browser):
    """Listens where people are sent back to, on this machine alone, and takes one answer: the one with our state."""
    place = urllib.parse.urlsplit(redirect_uri)
    answer = {}

    class Callback(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(asked.query))
            ours = asked.path == place.path and hmac.compare_digest(query.get("state", ""), state)
            if ours:
                answer.update(query)
            self.send_response(200 if ours else 404)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"You can close this window." if ours else b"Not what was asked for.")

        def log_message(self, *_):
            """The address holds the code: it is written nowhere."""

    with http.server.HTTPServer((place.hostname, place.port), Callback) as server:
        # Some browsers return only when they are closed.
        threading.Thread(target=open_browser, daemon=True).start()
        while not answer:
            server.handle_request()
    return answer


def redeem(details, code, verifier):
    """Trades the code for tokens. No secret: the verifier proves that it was this program that asked."""
    form = {
        "grant_type": "authorization_code",
        "client_id": details["client-id"],
        "code": code,
        "redirect_uri": details["redirect-uri"],
        "code_verifier": verifier,
    }
    request = urllib.request.Request(details["token-uri"], urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def sign_in(details):
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
    url = authorization_request(details, verifier, state)
    answer = wait_for_answer(details["redirect-uri"], state, lambda: webbrowser.open(url))
    if "code" not in answer:
        sys.exit(f"not signed in: {answer.get('error', 'no code')} {answer.get('error_description', '')}")
    # RFC 9207: a server that names itself must be the one that was asked.
    if answer.get("iss", details["issuer-uri"]) != details["issuer-uri"]:
        sys.exit("not signed in: another server answered")
    return redeem(details, answer["code"], verifier)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        tokens = sign_in(json.load(file)["data"])
    print(f"signed in: a token for {tokens.get('scope', 'what was asked for')}, valid for {tokens['expires_in']} s")
