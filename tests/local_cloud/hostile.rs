//! Malformed and hostile requests: each gets the status and the error that the specifications give, and none a 500.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Client, Method};
use serde_json::Value;

use super::Cloud;
use super::person::{CALLBACK, CHALLENGE, Page, VERIFIER, Visitor, query};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// What is known to whoever writes a request.
struct Known {
    id: String,
    secret: String,
    native: String,
    other: String,
    other_secret: String,
    machine: String,
    machine_secret: String,
    /// A code of the first application, bound to [`CHALLENGE`].
    code: String,
    /// A code of the first application without a challenge.
    bare_code: String,
    native_code: String,
    refresh_token: String,
    id_token: String,
}

impl Known {
    async fn of(cloud: &Cloud) -> Self {
        let ((id, secret), (other, other_secret)) = (cloud.web_application().await, cloud.web_application().await);
        let native = cloud.native_application("http://127.0.0.1/cb").await;
        let alone = serde_json::json!([{ "name": "OR.Queues", "type": 1 }]);
        let (machine, machine_secret) = cloud.created("machine", &alone).await;
        let tokens = cloud.tokens(&(id.clone(), secret.clone()), "openid offline_access").await;
        let of = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let mut ada = Visitor::new(cloud);
        let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
        let native_redirect = ("redirect_uri", "http://127.0.0.1:4000/cb");
        Self {
            code: ada.code(&[("client_id", &id), pkce[0], pkce[1]]).await,
            bare_code: ada.code(&[("client_id", &id)]).await,
            native_code: ada.code(&[("client_id", &native), native_redirect, pkce[0], pkce[1]]).await,
            refresh_token: of("refresh_token"),
            id_token: of("id_token"),
            id,
            secret,
            native,
            other,
            other_secret,
            machine,
            machine_secret,
        }
    }

    /// Puts what is known in the place of its name in braces, form-url-encoded.
    fn fill(&self, template: &str) -> String {
        let encoded = |value: &str| url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
        let replacements = [
            ("{auth}", format!("client_id={}&client_secret={}", self.id, encoded(&self.secret))),
            ("{other_auth}", format!("client_id={}&client_secret={}", self.other, encoded(&self.other_secret))),
            ("{machine_auth}", format!("client_id={}&client_secret={}", self.machine, encoded(&self.machine_secret))),
            ("{id}", self.id.clone()),
            ("{secret}", encoded(&self.secret)),
            ("{native}", self.native.clone()),
            ("{code}", self.code.clone()),
            ("{bare_code}", self.bare_code.clone()),
            ("{native_code}", self.native_code.clone()),
            ("{refresh}", self.refresh_token.clone()),
            ("{id_token}", self.id_token.clone()),
            ("{cb}", encoded(CALLBACK)),
            ("{verifier}", VERIFIER.to_owned()),
            ("{challenge}", CHALLENGE.to_owned()),
            ("{long}", "x".repeat(5000)),
            ("{huge}", "x".repeat(70_000)),
        ];
        replacements.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

/// Requests to the token endpoint: name, body, status, error.
const TOKEN: &[(&str, &str, u16, &str)] = &[
    ("an empty body", "", 400, "invalid_client"),
    ("no grant type", "{auth}", 400, "invalid_request"),
    ("an empty grant type", "{auth}&grant_type=", 400, "invalid_request"),
    ("the password grant", "{auth}&grant_type=password&username=a&password=b", 400, "unsupported_grant_type"),
    ("the implicit grant", "{auth}&grant_type=implicit", 400, "unsupported_grant_type"),
    ("an unknown extension grant", "{auth}&grant_type=urn%3Ax%3Ay", 400, "unsupported_grant_type"),
    ("a grant type in capitals", "{auth}&grant_type=CLIENT_CREDENTIALS", 400, "unsupported_grant_type"),
    ("two grant types", "{auth}&grant_type=client_credentials&grant_type=refresh_token", 400, "invalid_request"),
    ("two scopes", "{auth}&grant_type=client_credentials&scope=OR.Queues&scope=OR.Queues", 400, "invalid_request"),
    ("two client ids", "{auth}&client_id={id}&grant_type=client_credentials", 400, "invalid_request"),
    ("two client secrets", "{auth}&client_secret=x&grant_type=client_credentials", 400, "invalid_request"),
    ("an unknown parameter twice", "{auth}&x=1&x=2&grant_type=client_credentials", 400, "invalid_request"),
    (
        "a repetition in disguise",
        "{auth}&grant_type=refresh_token&gr%61nt_type=client_credentials",
        400,
        "invalid_request",
    ),
    ("no client", "grant_type=client_credentials&scope=OR.Queues", 400, "invalid_client"),
    ("an unknown client", "client_id=nobody&client_secret=x&grant_type=client_credentials", 400, "invalid_client"),
    ("a wrong secret", "client_id={id}&client_secret=wrong&grant_type=client_credentials", 400, "invalid_client"),
    ("no secret", "client_id={id}&grant_type=client_credentials&scope=OR.Queues", 400, "invalid_client"),
    ("an unencoded secret", "client_id={id}&client_secret=a%b+c&grant_type=client_credentials", 400, "invalid_client"),
    (
        "a secret of a client without one",
        "client_id={native}&client_secret=x&grant_type=refresh_token",
        400,
        "invalid_client",
    ),
    ("a very long secret", "client_id={id}&client_secret={long}&grant_type=client_credentials", 400, "invalid_client"),
    ("SQL for a client", "client_id='+OR+1%3D1--&client_secret=x&grant_type=client_credentials", 400, "invalid_client"),
    (
        "an assertion without its type",
        "client_id={id}&client_assertion=a.b.c&grant_type=client_credentials",
        400,
        "invalid_request",
    ),
    (
        "an assertion of an unknown type",
        "client_id={id}&client_assertion=a.b.c&client_assertion_type=x&grant_type=client_credentials",
        400,
        "invalid_client",
    ),
    (
        "an assertion that is none",
        "client_id={id}&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials",
        400,
        "invalid_client",
    ),
    (
        "a very long assertion",
        "client_id={id}&client_assertion={long}{long}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials",
        400,
        "invalid_client",
    ),
    (
        "two assertions",
        "client_id={id}&client_assertion=a.b.c&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials",
        400,
        "invalid_request",
    ),
    (
        "an assertion beside a secret",
        "{auth}&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials",
        400,
        "invalid_request",
    ),
    (
        "an assertion of an application without a secret",
        "client_id={native}&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials",
        400,
        "invalid_client",
    ),
    (
        "an assertion for a refresh token",
        "client_id={native}&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=refresh_token&refresh_token={refresh}",
        400,
        "invalid_client",
    ),
    ("no UTF-8", "{auth}&grant_type=client_credentials&scope=%ff%fe", 400, "invalid_request"),
    ("a NUL character", "{auth}&grant_type=client_credentials&scope=OR.Queues%00", 400, "invalid_request"),
    ("line breaks", "{auth}&grant_type=client_credentials&scope=OR.Queues%0d%0aOR.Jobs", 400, "invalid_request"),
    ("half an escape", "{auth}&grant_type=client_credentials&scope=OR.Queues%2", 400, "invalid_scope"),
    ("no scope", "{auth}&grant_type=client_credentials", 400, "invalid_scope"),
    ("a scope of spaces", "{auth}&grant_type=client_credentials&scope=+++", 400, "invalid_scope"),
    ("a scope too long", "{auth}&grant_type=client_credentials&scope={long}", 400, "invalid_request"),
    ("a user scope by itself", "{auth}&grant_type=client_credentials&scope=OR.Jobs", 400, "invalid_request"),
    (
        "offline access by itself",
        "{auth}&grant_type=client_credentials&scope=OR.Queues+offline_access",
        400,
        "invalid_scope",
    ),
    ("openid by itself", "{auth}&grant_type=client_credentials&scope=openid", 400, "invalid_scope"),
    (
        "client credentials of an application without a secret",
        "client_id={native}&grant_type=client_credentials&scope=OR.Default",
        400,
        "unauthorized_client",
    ),
    (
        "a code for an application that serves nobody",
        "{machine_auth}&grant_type=authorization_code&code={code}&redirect_uri={cb}",
        400,
        "unauthorized_client",
    ),
    ("no code", "{auth}&grant_type=authorization_code&redirect_uri={cb}", 400, "invalid_request"),
    ("no redirect URI", "{auth}&grant_type=authorization_code&code={code}", 400, "invalid_request"),
    ("an invented code", "{auth}&grant_type=authorization_code&code=x&redirect_uri={cb}", 400, "invalid_grant"),
    ("two codes", "{auth}&grant_type=authorization_code&code={code}&code=x&redirect_uri={cb}", 400, "invalid_request"),
    ("a very long code", "{auth}&grant_type=authorization_code&code={long}&redirect_uri={cb}", 400, "invalid_grant"),
    (
        "a code of another client, stolen",
        "{other_auth}&grant_type=authorization_code&code={code}&redirect_uri={cb}&code_verifier={verifier}",
        400,
        "invalid_grant",
    ),
    (
        "a code of a native client, injected",
        "{auth}&grant_type=authorization_code&code={native_code}&redirect_uri=http%3A%2F%2F127.0.0.1%3A4000%2Fcb&code_verifier={verifier}",
        400,
        "invalid_grant",
    ),
    (
        "a confidential client's code without its secret",
        "client_id={id}&grant_type=authorization_code&code={code}&redirect_uri={cb}&code_verifier={verifier}",
        400,
        "invalid_client",
    ),
    (
        "a native client that says it is another",
        "client_id={native}&grant_type=authorization_code&code={code}&redirect_uri={cb}&code_verifier={verifier}",
        400,
        "invalid_grant",
    ),
    (
        "a refresh token as a code",
        "{auth}&grant_type=authorization_code&code={refresh}&redirect_uri={cb}",
        400,
        "invalid_grant",
    ),
    ("a code as a refresh token", "{auth}&grant_type=refresh_token&refresh_token={code}", 400, "invalid_grant"),
    (
        "a verifier where there was no challenge",
        "{auth}&grant_type=authorization_code&code={bare_code}&redirect_uri={cb}&code_verifier={verifier}",
        400,
        "invalid_grant",
    ),
    (
        "the challenge as the verifier",
        "{auth}&grant_type=authorization_code&code={code}&redirect_uri={cb}&code_verifier={challenge}",
        400,
        "invalid_grant",
    ),
    (
        "a right verifier after a wrong one",
        "{auth}&grant_type=authorization_code&code={code}&redirect_uri={cb}&code_verifier={verifier}",
        400,
        "invalid_grant",
    ),
    (
        "no verifier",
        "client_id={native}&grant_type=authorization_code&code={native_code}&redirect_uri=http%3A%2F%2F127.0.0.1%3A4000%2Fcb",
        400,
        "invalid_grant",
    ),
    ("no refresh token", "{auth}&grant_type=refresh_token", 400, "invalid_request"),
    ("an invented refresh token", "{auth}&grant_type=refresh_token&refresh_token=x", 400, "invalid_grant"),
    (
        "an ID token as a refresh token",
        "{auth}&grant_type=refresh_token&refresh_token={id_token}",
        400,
        "invalid_grant",
    ),
    (
        "a refresh token of another client",
        "{other_auth}&grant_type=refresh_token&refresh_token={refresh}",
        400,
        "invalid_grant",
    ),
    (
        "a refresh token of a confidential client by a native one",
        "client_id={native}&grant_type=refresh_token&refresh_token={refresh}",
        400,
        "invalid_grant",
    ),
    ("a wider scope", "{auth}&grant_type=refresh_token&refresh_token={refresh}&scope=OR.Jobs", 400, "invalid_scope"),
    (
        "an application scope through a person",
        "{auth}&grant_type=refresh_token&refresh_token={refresh}&scope=OR.Queues",
        400,
        "invalid_scope",
    ),
];

#[tokio::test]
async fn the_token_endpoint_refuses_what_is_malformed_or_hostile_in_oauths_terms() {
    let cloud = Cloud::with_people().await;
    let known = Known::of(&cloud).await;
    for (name, template, status, error) in TOKEN {
        let request = cloud.http.post(cloud.at("/connect/token")).header(FORM.0, FORM.1).body(known.fill(template));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), *status, "{name}");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-store"), "{name}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"], *error, "{name}: {answer}");
        assert_eq!(answer.get("access_token"), None, "{name}");
    }
    let (status, _) = cloud.refresh((&known.id, &known.secret), &known.refresh_token, &[]).await;
    assert_eq!(status, 200, "nobody else's attempts have used it up");
}

/// Authorization requests that are answered by a page of the stand-in and by no redirect to anywhere: name, query.
const TO_THE_PERSON: &[(&str, &str, &str)] = &[
    ("nothing at all", "", "Unknown client"),
    ("no client", "response_type=code&redirect_uri={cb}&scope=OR.Jobs", "Unknown client"),
    ("an unknown client", "client_id=nobody&response_type=code&redirect_uri={cb}&scope=OR.Jobs", "Unknown client"),
    ("no redirect URI", "client_id={id}&response_type=code&scope=OR.Jobs", "Invalid redirect_uri"),
    ("another's redirect URI", "client_id={id}&redirect_uri=https%3A%2F%2Fevil.example%2F", "Invalid redirect_uri"),
    ("a redirect URI with more path", "client_id={id}&redirect_uri={cb}evil", "Invalid redirect_uri"),
    (
        "a redirect URI with a query",
        "client_id={id}&redirect_uri={cb}%3Fnext%3Dhttps%3A%2F%2Fevil.example",
        "Invalid redirect_uri",
    ),
    ("a redirect URI with a fragment", "client_id={id}&redirect_uri={cb}%23x", "Invalid redirect_uri"),
    (
        "a redirect URI with user information",
        "client_id={id}&redirect_uri=http%3A%2F%2Flocalhost%3A5173%40evil.example%2F",
        "Invalid redirect_uri",
    ),
    (
        "a redirect URI at a longer host",
        "client_id={id}&redirect_uri=http%3A%2F%2Flocalhost.evil.example%3A5173%2F",
        "Invalid redirect_uri",
    ),
    (
        "a redirect URI in capitals",
        "client_id={id}&redirect_uri=HTTP%3A%2F%2FLOCALHOST%3A5173%2F",
        "Invalid redirect_uri",
    ),
    (
        "a redirect URI at another port",
        "client_id={id}&redirect_uri=http%3A%2F%2Flocalhost%3A5174%2F",
        "Invalid redirect_uri",
    ),
    (
        "a redirect URI over TLS",
        "client_id={id}&redirect_uri=https%3A%2F%2Flocalhost%3A5173%2F",
        "Invalid redirect_uri",
    ),
    ("a relative redirect URI", "client_id={id}&redirect_uri=%2F%2Fevil.example%2F", "Invalid redirect_uri"),
    ("a script for a redirect URI", "client_id={id}&redirect_uri=javascript%3Aalert(1)", "Invalid redirect_uri"),
    ("data for a redirect URI", "client_id={id}&redirect_uri=data%3Atext%2Fhtml%2Cx", "Invalid redirect_uri"),
    (
        "a redirect URI twice",
        "client_id={id}&redirect_uri={cb}&redirect_uri=https%3A%2F%2Fevil.example%2F",
        "Malformed request",
    ),
    (
        "a redirect URI with a line break",
        "client_id={id}&redirect_uri={cb}%0d%0aSet-Cookie%3A+a%3Db",
        "Malformed request",
    ),
    ("a client twice", "client_id={id}&client_id=nobody&redirect_uri={cb}", "Malformed request"),
    ("a state twice", "client_id={id}&redirect_uri={cb}&state=a&state=b", "Malformed request"),
    ("a state that is no UTF-8", "client_id={id}&redirect_uri={cb}&state=%c3%28", "Malformed request"),
    ("a state too long", "client_id={id}&redirect_uri={cb}&state={long}", "Invalid state"),
    ("a query too long", "client_id={id}&redirect_uri={cb}&x={long}{long}{long}{long}", "Malformed request"),
    (
        "a confidential client's redirect URI at a native one",
        "client_id={native}&redirect_uri={cb}",
        "Invalid redirect_uri",
    ),
    (
        "a native client at another path",
        "client_id={native}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fother",
        "Invalid redirect_uri",
    ),
    (
        "a native client at localhost",
        "client_id={native}&redirect_uri=http%3A%2F%2Flocalhost%3A9%2Fcb",
        "Invalid redirect_uri",
    ),
];

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_the_applications_own() {
    let cloud = Cloud::with_people().await;
    let known = Known::of(&cloud).await;
    for (name, template, text) in TO_THE_PERSON {
        let url = format!("{}?{}", cloud.at("/connect/authorize"), known.fill(template));
        let mut visitor = Visitor::new(&cloud);
        let page = visitor.get(&url).await;
        let location = page.location().unwrap();
        assert_eq!((page.status, location.path()), (303, "/identity_/web/"), "{name}");
        assert!(location.as_str().starts_with(&cloud.running.base_url()), "{name}");
        let page = visitor.get(location.as_str()).await;
        assert_eq!((page.status, page.location()), (400, None), "{name}");
        assert!(page.html.contains(text), "{name}: {}", page.html);
        assert!(visitor.cookie.is_none(), "{name}");
    }
}

/// Authorization requests that the application is told about: name, query, error.
const TO_THE_CLIENT: &[(&str, &str, &str)] = &[
    ("no response type", "client_id={id}&redirect_uri={cb}&scope=OR.Jobs", "invalid_request"),
    (
        "the implicit flow",
        "client_id={id}&redirect_uri={cb}&scope=OR.Jobs&response_type=token",
        "unsupported_response_type",
    ),
    (
        "a hybrid flow",
        "client_id={id}&redirect_uri={cb}&scope=openid&response_type=code+token",
        "unsupported_response_type",
    ),
    ("no scope", "client_id={id}&redirect_uri={cb}&response_type=code", "invalid_scope"),
    ("an unknown scope", "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Nope", "invalid_scope"),
    ("an application scope", "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Queues", "invalid_scope"),
    ("a scope too long", "client_id={id}&redirect_uri={cb}&response_type=code&scope={long}", "invalid_request"),
    ("markup for a scope", "client_id={id}&redirect_uri={cb}&response_type=code&scope=%3Cscript%3E", "invalid_scope"),
    (
        "a plain challenge",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&code_challenge={verifier}&code_challenge_method=plain",
        "invalid_request",
    ),
    (
        "a challenge without a method",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&code_challenge={challenge}",
        "invalid_request",
    ),
    (
        "a method without a challenge",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&code_challenge_method=S256",
        "invalid_request",
    ),
    (
        "a challenge that is no hash",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&code_challenge={long}&code_challenge_method=S256",
        "invalid_request",
    ),
    (
        "an unknown method",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&code_challenge={challenge}&code_challenge_method=S512",
        "invalid_request",
    ),
    (
        "a native client without a challenge",
        "client_id={native}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb&response_type=code&scope=OR.Jobs",
        "invalid_request",
    ),
    (
        "an unknown prompt",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&prompt=whatever",
        "invalid_request",
    ),
    (
        "a contradiction of prompts",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&prompt=none+login",
        "invalid_request",
    ),
    (
        "a negative age",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&max_age=-1",
        "invalid_request",
    ),
    (
        "an age that is no number",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=OR.Jobs&max_age=9999999999999999999",
        "invalid_request",
    ),
    (
        "a nonce too long",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=openid&nonce={long}",
        "invalid_request",
    ),
    (
        "a hint too long",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=openid&login_hint={long}",
        "invalid_request",
    ),
    (
        "a request object",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=openid&request=e30.e30.",
        "request_not_supported",
    ),
    (
        "a request from elsewhere",
        "client_id={id}&redirect_uri={cb}&response_type=code&scope=openid&request_uri=http%3A%2F%2F169.254.169.254%2F",
        "request_uri_not_supported",
    ),
];

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_to_the_application_that_made_it() {
    let cloud = Cloud::with_people().await;
    let known = Known::of(&cloud).await;
    for (name, template, error) in TO_THE_CLIENT {
        let url = format!("{}?{}&state=s%26t", cloud.at("/connect/authorize"), known.fill(template));
        let page = Visitor::new(&cloud).get(&url).await;
        let location = page.location().unwrap();
        let own = [CALLBACK, "http://127.0.0.1:9/cb?"];
        assert!(page.status == 303 && own.iter().any(|own| location.as_str().starts_with(own)), "{name}: {location}");
        let answer = query(&location);
        assert_eq!((answer["error"].as_str(), answer["state"].as_str()), (*error, "s&t"), "{name}");
        assert_eq!(answer["iss"], cloud.at(""), "{name}");
        assert!(!answer.contains_key("code"), "{name}");
    }
}

#[tokio::test]
async fn a_method_that_an_endpoint_does_not_have_is_refused() {
    let cloud = Cloud::start().await;
    for (path, methods) in [
        ("/connect/token", &[Method::GET, Method::PUT, Method::DELETE][..]),
        ("/connect/authorize", &[Method::PUT, Method::DELETE, Method::PATCH]),
        ("/connect/userinfo", &[Method::PUT, Method::DELETE]),
        ("/connect/revocation", &[Method::GET, Method::PUT]),
        ("/connect/introspect", &[Method::GET, Method::PUT]),
        ("/connect/endsession", &[Method::PUT, Method::DELETE]),
        ("/web/login", &[Method::PUT, Method::DELETE]),
        ("/web/consent", &[Method::PUT, Method::DELETE]),
        ("/.well-known/openid-configuration", &[Method::POST, Method::PUT]),
    ] {
        for method in methods {
            let response = cloud.http.request(method.clone(), cloud.at(path)).send().await.unwrap();
            assert_eq!(response.status(), 405, "{method} {path}");
            assert!(response.headers().contains_key("allow"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn only_forms_are_read_and_none_that_is_too_large() {
    let cloud = Cloud::with_people().await;
    let known = Known::of(&cloud).await;
    let body = known.fill("{auth}&token=x&grant_type=client_credentials&scope=OR.Queues");
    for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        for (path, status) in
            [("/connect/revocation", 400), ("/connect/introspect", 400), ("/web/login", 403), ("/web/consent", 403)]
        {
            let request = cloud.http.post(cloud.at(path)).header("content-type", content_type).body(body.clone());
            assert_eq!(request.send().await.unwrap().status(), status, "{content_type} {path}");
        }
        // As at Automation Cloud.
        let request = cloud.http.post(cloud.at("/connect/token")).header("content-type", content_type);
        let response = request.body(body.clone()).send().await.unwrap();
        assert!(response.text().await.unwrap().starts_with("<!doctype html>"), "{content_type}");
    }
    for path in ["/connect/token", "/connect/revocation", "/connect/introspect", "/connect/authorize", "/web/login"] {
        let request = cloud.http.post(cloud.at(path)).header(FORM.0, FORM.1).body(known.fill("x={huge}"));
        assert_eq!(request.send().await.unwrap().status(), 413, "{path}");
    }
    let many: Vec<String> = (0..100).map(|index| format!("&p{index}=x")).collect();
    let request =
        cloud.http.post(cloud.at("/connect/token")).header(FORM.0, FORM.1).body(body.clone() + &many.concat());
    assert_eq!(request.send().await.unwrap().status(), 400);
    let request = cloud.http.post(cloud.at("/connect/token")).header(FORM.0, FORM.1).body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_header_that_authenticates_nobody_gets_a_challenge() {
    let cloud = Cloud::with_people().await;
    let known = Known::of(&cloud).await;
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let grant = "grant_type=client_credentials&scope=OR.Queues".to_owned();
    let twice = known.fill("{auth}&grant_type=client_credentials&scope=OR.Queues");
    let other = known.fill("client_id={native}&grant_type=client_credentials&scope=OR.Queues");
    let right = basic(&format!("{}:{}", known.id, known.fill("{secret}")));
    for (name, header, body, status, error) in [
        ("a wrong secret", basic(&format!("{}:wrong", known.id)), &grant, 401, "invalid_client"),
        ("an unknown client", basic("nobody:secret"), &grant, 401, "invalid_client"),
        ("no colon", basic("nobody"), &grant, 401, "invalid_client"),
        ("no UTF-8", format!("Basic {}", STANDARD.encode([0xff, 0xfe, b':', b'x'])), &grant, 401, "invalid_client"),
        ("no base64", "Basic %%%".to_owned(), &grant, 401, "invalid_client"),
        ("nothing after the scheme", "Basic".to_owned(), &grant, 401, "invalid_client"),
        ("another scheme", "Bearer x".to_owned(), &grant, 401, "invalid_client"),
        ("a native client with a secret", basic(&format!("{}:x", known.native)), &grant, 401, "invalid_client"),
        ("a secret in header and body", right.clone(), &twice, 400, "invalid_request"),
        ("two clients", right, &other, 400, "invalid_request"),
    ] {
        let request = cloud.http.post(cloud.at("/connect/token")).header("authorization", header);
        let response = request.header(FORM.0, FORM.1).body(body.clone()).send().await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{name}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"], error, "{name}");
    }
}

/// Tokens that nobody has signed, or not for this.
#[tokio::test]
async fn a_token_that_was_tampered_with_opens_nothing() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let tokens = cloud.tokens(&client, "openid").await;
    let token = tokens["access_token"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let mut claims = super::person::claims(token);
    claims["sub"] = "someone-else".into();
    let other_claims = format!("{}.{}.{}", parts[0], encoded(&claims), parts[2]);
    header["alg"] = "none".into();
    let unsigned = format!("{}.{}.", encoded(&header), parts[1]);
    header["alg"] = "HS256".into();
    let symmetric = format!("{}.{}.{}", encoded(&header), parts[1], parts[2]);
    let id_token = tokens["id_token"].as_str().unwrap().to_owned();
    let long = "x".repeat(8000);
    let cut = format!("{}.{}", parts[0], parts[1]);
    for (name, token) in [
        ("other claims", other_claims.as_str()),
        ("no signature", &unsigned),
        ("another algorithm", &symmetric),
        ("an ID token", &id_token),
        ("half a token", &cut),
        ("dots", "..."),
        ("nonsense", &long),
    ] {
        assert_eq!(cloud.userinfo(token).await.0, 401, "{name}");
    }
    assert_eq!(cloud.userinfo(token).await.0, 200);
}

#[tokio::test]
async fn the_error_page_says_only_what_the_stand_in_could_have_said() {
    let cloud = Cloud::start().await;
    let envelope = |error: &str, description: &str| {
        let data = serde_json::json!({ "Created": 0, "Data": { "Error": error, "ErrorDescription": description } });
        URL_SAFE_NO_PAD.encode(data.to_string())
    };
    let own = envelope("invalid_request", "Invalid redirect_uri");
    let invented = envelope("invalid_request", "Call 555-0100 and read out your password");
    let mut visitor = Visitor::new(&cloud);
    let mut show = async |query: String| visitor.get(&format!("{}?{query}", cloud.at("/web/"))).await;
    let page = show(format!("errorCode=invalid_request&errorId={own}")).await;
    assert_eq!((page.status, page.html.contains("Invalid redirect_uri")), (400, true));
    for query in [
        format!("errorCode=invalid_request&errorId={invented}"),
        format!("errorCode=other&errorId={own}"),
        "errorCode=%3Cscript%3E&errorId=%ff".to_owned(),
        "errorId=e30".to_owned(),
        String::new(),
    ] {
        let page = show(query.clone()).await;
        assert_eq!(page.status, 200, "{query}");
        let foreign = ["555", "script&gt;", "Invalid"].iter().any(|text| page.html.contains(text));
        assert!(!foreign, "{query}: {}", page.html);
    }
}

#[tokio::test]
async fn the_error_of_a_request_can_be_read_from_its_address_as_at_automation_cloud() {
    let cloud = Cloud::start().await;
    let (id, _) = cloud.web_application().await;
    let page = Visitor::new(&cloud).begin(&[("client_id", &id), ("redirect_uri", "https://evil.example/")]).await;
    let answer = query(&page.url);
    assert_eq!(answer["errorCode"], "invalid_request");
    let details: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&answer["errorId"]).unwrap()).unwrap();
    assert_eq!(details["Created"], 639_310_752_000_000_000_i64);
    assert_eq!(details["Data"]["ErrorDescription"], "Invalid redirect_uri");
    assert_eq!((&details["Data"]["ClientId"], &details["Data"]["RedirectUri"]), (&id.into(), &Value::Null));
}

#[tokio::test]
async fn forms_of_the_pages_survive_anything_that_is_sent_to_them() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let login = ada.begin(&[("client_id", &id)]).await;
    let with = |page: &Page, more: &str| {
        let hidden = page.hidden();
        format!("request={}&csrf={}&{more}", hidden[0].1, hidden[1].1)
    };
    let long = "x".repeat(5000);
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let send = async |page: &Page, cookie: &Option<String>, body: String| {
        let request = http.post(page.url.clone()).header(FORM.0, FORM.1).header("cookie", cookie.clone().unwrap());
        request.body(body).send().await.unwrap().status().as_u16()
    };
    for (status, body) in [
        (422, with(&login, "")),
        (422, with(&login, "email=ada%40acme.example")),
        (422, with(&login, "password=difference+engine")),
        (422, with(&login, &format!("email={long}&password=x"))),
        (422, with(&login, &format!("email=a%40b&password={long}"))),
        (422, with(&login, "email='+OR+1%3D1--&password=x")),
        (403, with(&login, "email=a%40b&email=ada%40acme.example&password=x")),
        (403, with(&login, "email=a%40b&password=%ff")),
        (400, "request=x&csrf=x".to_owned()),
        (400, String::new()),
    ] {
        assert_eq!(send(&login, &ada.cookie, body.clone()).await, status, "{body}");
    }
    let consent = ada.consent_page(&[("client_id", &id)]).await;
    for (status, body) in [
        (200, with(&consent, "")),
        (200, with(&consent, "decision=ALLOW")),
        (403, with(&consent, "decision=allow&decision=cancel")),
        (403, format!("request={}&csrf={long}&decision=allow", consent.input("request").unwrap())),
        (303, with(&consent, "decision=allow")),
        (400, with(&consent, "decision=allow")),
    ] {
        assert_eq!(send(&consent, &ada.cookie, body.clone()).await, status, "{body}");
    }
}
