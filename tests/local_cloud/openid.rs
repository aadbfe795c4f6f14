//! OpenID Connect: ID tokens, userinfo, how a person is asked, discovery, and scripts of other origins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use extapp::local_cloud::{Clock, SigningAlgorithm};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::person::{ADA, BOB, CALLBACK, CHALLENGE, Visitor, claims, people, query};
use super::{Cloud, taken, text};

async fn metadata(cloud: &Cloud) -> Value {
    cloud.http.get(cloud.at("/.well-known/openid-configuration")).send().await.unwrap().json().await.unwrap()
}

/// Verifies an ID token as a client does: through discovery and the published keys.
async fn verified(cloud: &Cloud, token: &str, client: &str, algorithm: Algorithm) -> Value {
    let metadata = metadata(cloud).await;
    let keys: JwkSet = cloud.http.get(text(&metadata, "jwks_uri")).send().await.unwrap().json().await.unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[text(&metadata, "issuer")]);
    validation.set_audience(&[client]);
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn an_id_token_says_who_signed_in_for_which_request_and_belongs_to_its_access_token() {
    for (signing_algorithm, algorithm) in
        [(SigningAlgorithm::Rs256, Algorithm::RS256), (SigningAlgorithm::Es256, Algorithm::ES256)]
    {
        let cloud = Cloud::start_with(|config| {
            config.people = people();
            config.signing_algorithm = signing_algorithm;
            config.clock = Clock::system();
        })
        .await;
        assert_eq!(metadata(&cloud).await["id_token_signing_alg_values_supported"], json!([signing_algorithm.name()]));
        let (id, secret) = cloud.web_application().await;
        let code = Visitor::new(&cloud).code(&[("client_id", &id), ("scope", "openid"), ("nonce", "n-0S6")]).await;
        let (_, answer) = cloud.redeem((&id, &secret), &code, &[]).await;
        let claims = verified(&cloud, &text(&answer, "id_token"), &id, algorithm).await;
        let access = super::person::claims(&text(&answer, "access_token"));
        assert_eq!((&claims["aud"], &claims["nonce"], &claims["amr"]), (&json!(id), &json!("n-0S6"), &json!(["pwd"])));
        for same in ["sub", "sid", "auth_time", "iss", "iat"] {
            assert_eq!(claims[same], access[same], "{same}");
        }
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
        let digest = Sha256::digest(text(&answer, "access_token"));
        assert_eq!(claims["at_hash"], URL_SAFE_NO_PAD.encode(&digest[..16]));
    }
}

#[tokio::test]
async fn an_id_token_comes_with_openid_only_and_a_refreshed_one_has_no_nonce() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    assert_eq!(cloud.tokens(&client, "OR.Jobs profile").await["id_token"], Value::Null);
    let parameters = [("client_id", client.0.as_str()), ("scope", "openid offline_access"), ("nonce", "n")];
    let code = Visitor::new(&cloud).code(&parameters).await;
    let (_, first) = cloud.redeem((&client.0, &client.1), &code, &[]).await;
    cloud.clock.advance(60_000);
    let (_, second) = cloud.refresh((&client.0, &client.1), &text(&first, "refresh_token"), &[]).await;
    let (before, after) = (claims(&text(&first, "id_token")), claims(&text(&second, "id_token")));
    assert_eq!((before["nonce"].as_str(), after.get("nonce")), (Some("n"), None));
    assert_eq!((&before["sub"], &before["auth_time"]), (&after["sub"], &after["auth_time"]));
    assert_eq!(after["iat"].as_i64().unwrap() - before["iat"].as_i64().unwrap(), 60);
}

#[tokio::test]
async fn userinfo_tells_what_the_scopes_allow() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    for (scope, members) in [
        ("openid", &["sub"][..]),
        ("openid profile", &["name", "preferred_username", "sub"]),
        ("openid email", &["email", "email_verified", "sub"]),
        ("openid profile email OR.Jobs", &["email", "email_verified", "name", "preferred_username", "sub"]),
    ] {
        let token = text(&cloud.tokens(&client, scope).await, "access_token");
        let (status, told) = cloud.userinfo(&token).await;
        let mut found: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!((status, found.as_slice()), (200, members), "{scope}");
        assert_eq!(told["sub"], claims(&token)["sub"]);
        let post = cloud.http.post(cloud.at("/connect/userinfo")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(taken(post).await, (200, told));
    }
}

#[tokio::test]
async fn userinfo_is_for_access_tokens_with_openid_in_the_header() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let tokens = cloud.tokens(&client, "openid OR.Jobs").await;
    let (access, id_token) = (text(&tokens, "access_token"), text(&tokens, "id_token"));
    let without = text(&cloud.tokens(&client, "OR.Jobs").await, "access_token");
    let own = cloud.token(&client, "OR.Queues").await;
    let url = cloud.at("/connect/userinfo");
    let answer = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), challenge.unwrap_or_default())
    };
    let invalid = (401, "Bearer error=\"invalid_token\"".to_owned());
    let insufficient = (403, "Bearer error=\"insufficient_scope\", scope=\"openid\"".to_owned());
    assert_eq!(answer(cloud.http.get(&url)).await, (401, "Bearer".to_owned()));
    assert_eq!(answer(cloud.http.get(format!("{url}?access_token={access}"))).await, (401, "Bearer".to_owned()));
    assert_eq!(answer(cloud.http.post(&url).form(&[("access_token", &access)])).await, (401, "Bearer".to_owned()));
    assert_eq!(answer(cloud.http.get(&url).bearer_auth("nonsense")).await, invalid);
    assert_eq!(answer(cloud.http.get(&url).bearer_auth(&id_token)).await, invalid);
    assert_eq!(answer(cloud.http.get(&url).bearer_auth(&without)).await, insufficient);
    assert_eq!(answer(cloud.http.get(&url).bearer_auth(&own)).await, insufficient);
    cloud.clock.advance(3_600_000);
    assert_eq!(answer(cloud.http.get(&url).bearer_auth(&access)).await, invalid);
}

#[tokio::test]
async fn a_token_for_an_administrator_opens_the_management_api_by_its_scope_and_nobody_elses_does() {
    let cloud = Cloud::with_people().await;
    let client = cloud.created("console", &json!([{ "name": "PM.OAuthApp.Read", "type": 0 }])).await;
    let tokens = cloud.tokens(&client, "openid PM.OAuthApp.Read").await;
    let code =
        Visitor::new(&cloud).code_of(BOB, &[("client_id", client.0.as_str()), ("scope", "PM.OAuthApp.Read")]).await;
    let (_, of_bob) = cloud.redeem((&client.0, &client.1), &code, &[]).await;
    let path = format!("ExternalClient/{}", cloud.partition());
    let status = async |token: &str| cloud.call(token, Method::GET, &path, None).await.status().as_u16();
    assert_eq!(status(&text(&tokens, "access_token")).await, 200);
    assert_eq!(status(&text(&tokens, "id_token")).await, 401);
    assert_eq!(status(&text(&of_bob, "access_token")).await, 403, "he administers nothing");
}

#[tokio::test]
async fn whoever_must_not_be_asked_gets_nothing() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let silent = [("client_id", id.as_str()), ("prompt", "none"), ("state", "s")];
    let answer = query(&ada.begin(&silent).await.location().unwrap());
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("login_required", "s"));
    ada.consent_page(&[("client_id", &id)]).await;
    let answer = query(&ada.begin(&silent).await.location().unwrap());
    assert_eq!(answer["error"], "consent_required");
    cloud.clock.advance(2000);
    let answer = query(&ada.begin(&[silent[0], silent[1], ("max_age", "1")]).await.location().unwrap());
    assert_eq!(answer["error"], "login_required");
}

#[tokio::test]
async fn the_password_is_asked_for_again_when_the_application_wants_it() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    ada.consent_page(&[("client_id", &id)]).await;
    cloud.clock.advance(10_000);
    for again in [("prompt", "login"), ("prompt", "select_account"), ("prompt", "login consent"), ("max_age", "10")] {
        let page = ada.begin(&[("client_id", &id), again]).await;
        assert_eq!(page.url.path(), "/identity_/web/login", "{again:?}");
        // Whoever knows the other address gets no further.
        let consent = page.url.as_str().replace("/web/login", "/web/consent");
        let page = ada.get(&consent).await;
        assert_eq!((page.status, page.location().unwrap().path()), (303, "/identity_/web/login"));
    }
    for once in [("prompt", "consent"), ("max_age", "11"), ("login_hint", BOB.0)] {
        let page = ada.begin(&[("client_id", &id), once]).await;
        assert_eq!(page.url.path(), "/identity_/web/consent", "{once:?}");
    }
    let page = ada.begin(&[("client_id", &id), ("prompt", "login"), ("scope", "openid")]).await;
    let page = ada.log_in(&page, ADA).await;
    let page = ada.follow(page).await;
    let code = query(&ada.decide(&page, "allow").await.location().unwrap())["code"].clone();
    let (_, tokens) = cloud.redeem((&id, &secret), &code, &[]).await;
    let claims = claims(&text(&tokens, "id_token"));
    assert_eq!(claims["auth_time"], claims["iat"]);
}

#[tokio::test]
async fn a_hint_fills_in_the_address_and_the_organization_may_be_named() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id), ("login_hint", ADA.0)]).await;
    assert!(page.html.contains("value=\"ada@acme.example\""), "{}", page.html);
    let partition = cloud.partition();
    for name in ["acme", &partition] {
        let acr = format!("tenantName:{name} urn:other");
        let page = ada.begin(&[("client_id", &id), ("acr_values", &acr)]).await;
        assert_eq!(page.status, 200, "{acr}");
    }
    let page = ada.begin(&[("client_id", &id), ("acr_values", "tenantName:other")]).await;
    assert_eq!(query(&page.location().unwrap())["error"], "invalid_request");
}

#[tokio::test]
async fn discovery_promises_what_is_kept() {
    let cloud = Cloud::with_people().await;
    let metadata = metadata(&cloud).await;
    let base = cloud.at("");
    assert_eq!(metadata["issuer"], base);
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["response_modes_supported"], json!(["query"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    assert_eq!(metadata["request_uri_parameter_supported"], false);
    assert_eq!(metadata["id_token_signing_alg_values_supported"], json!(["ES256"]));
    for scope in ["openid", "profile", "email", "offline_access", "OR.Default", "OR.Jobs"] {
        assert!(metadata["scopes_supported"].as_array().unwrap().contains(&json!(scope)), "{scope}");
    }
    for (endpoint, get, post) in [
        ("authorization_endpoint", 303, 303),
        ("token_endpoint", 405, 400),
        ("userinfo_endpoint", 401, 401),
        ("revocation_endpoint", 405, 400),
        ("introspection_endpoint", 405, 401),
        ("end_session_endpoint", 200, 200),
        ("jwks_uri", 200, 405),
    ] {
        let url = text(&metadata, endpoint);
        assert!(url.starts_with(&base), "{url}");
        let mut visitor = Visitor::new(&cloud);
        assert_eq!(visitor.get(&url).await.status, get, "{endpoint}");
        assert_eq!(visitor.post(&url, &[("x", "y")]).await.status, post, "{endpoint}");
    }
    for name in ["registration_endpoint", "device_authorization_endpoint", "pushed_authorization_request_endpoint"] {
        assert_eq!(metadata.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn scripts_of_any_origin_may_use_the_token_endpoint_and_none_the_pages() {
    let cloud = Cloud::with_people().await;
    let ask = async |method: Method, path: &str, requested: &str| {
        let request = cloud.http.request(method, cloud.at(path)).header("origin", "https://app.example");
        let request = request.header("access-control-request-method", requested);
        let request = request.header("access-control-request-headers", "authorization,content-type");
        request.send().await.unwrap()
    };
    let open = [
        ("/connect/token", Method::POST),
        ("/connect/userinfo", Method::GET),
        ("/connect/revocation", Method::POST),
        ("/.well-known/openid-configuration", Method::GET),
        ("/.well-known/openid-configuration/jwks", Method::GET),
    ];
    for (path, method) in open {
        let preflight = ask(Method::OPTIONS, path, method.as_str()).await;
        assert_eq!(preflight.status(), 200, "{path}");
        assert_eq!(preflight.headers()["access-control-allow-headers"], "authorization,content-type");
        for response in [preflight, ask(method, path, "").await] {
            assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
            assert_eq!(response.headers().get("access-control-allow-credentials"), None);
        }
    }
    let closed = ["/connect/authorize", "/connect/introspect", "/connect/endsession", "/web/login", "/web/consent"];
    for path in closed {
        for method in [Method::OPTIONS, Method::GET, Method::POST] {
            let response = ask(method, path, "POST").await;
            assert_eq!(response.headers().get("access-control-allow-origin"), None, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_promised_nowhere_is_refused_in_openid_connects_terms() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    for (name, value, error) in [
        ("request", "e30.e30.", "request_not_supported"),
        ("request_uri", "https://app.example/request", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
        ("response_mode", "fragment", "invalid_request"),
        ("response_mode", "form_post", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "id_token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
    ] {
        let page = ada.begin(&[("client_id", &id), (name, value), ("code_challenge", CHALLENGE)]).await;
        let location = page.location().unwrap();
        assert!(location.as_str().starts_with(CALLBACK));
        assert_eq!(query(&location)["error"], error, "{name}={value}");
    }
}
