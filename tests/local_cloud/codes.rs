//! The authorization code grant, with and without PKCE.

use reqwest::Method;
use serde_json::{Value, json};

use super::Cloud;
use super::person::{CALLBACK, CHALLENGE, VERIFIER, Visitor, challenge, claims, query};

fn refused(error: &str) -> (u16, Value) {
    (400, json!({ "error": error }))
}

#[tokio::test]
async fn a_confidential_application_redeems_a_code_with_its_secret() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let scope = "OR.Jobs OR.Assets.Read OR.Default";
    let code = Visitor::new(&cloud).code(&[("client_id", &id), ("scope", scope)]).await;
    let (status, answer) = cloud.redeem((&id, &secret), &code, &[]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(answer["scope"], scope);
    assert_eq!((&answer["refresh_token"], &answer["id_token"]), (&Value::Null, &Value::Null));
    let claims = claims(answer["access_token"].as_str().unwrap());
    assert_eq!((&claims["sub_type"], &claims["client_id"]), (&json!("user"), &json!(id)));
    assert_eq!(claims["prt_id"], cloud.partition());
    assert_eq!(claims["scope"], json!(["OR.Jobs", "OR.Assets.Read", "OR.Default"]));
    assert_eq!(claims["aud"], json!(["UiPath.Orchestrator"]));
    assert_ne!(claims["sub"], json!(id));
    assert!(claims["sid"].is_string() && claims["auth_time"].is_i64());
}

#[tokio::test]
async fn a_secret_in_the_header_does_as_well_and_no_secret_or_a_wrong_one_does_not() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let code = ada.code(&[("client_id", &id)]).await;
    assert_eq!(cloud.redeem((&id, ""), &code, &[]).await, refused("invalid_client"));
    assert_eq!(cloud.redeem((&id, "wrong"), &code, &[]).await, refused("invalid_client"));
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
    let request = cloud.http.post(cloud.at("/connect/token")).basic_auth(&id, Some(encoded)).form(&form);
    assert_eq!(request.send().await.unwrap().status(), 200, "a client that is not proven uses no code up");
}

#[tokio::test]
async fn a_code_is_redeemed_once_and_its_replay_revokes_what_was_issued_for_it() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let client = (id.as_str(), secret.as_str());
    let code = Visitor::new(&cloud).code(&[("client_id", &id), ("scope", "openid OR.Jobs offline_access")]).await;
    let (_, answer) = cloud.redeem(client, &code, &[]).await;
    let (access, refresh) = (answer["access_token"].as_str().unwrap(), answer["refresh_token"].as_str().unwrap());
    assert_eq!(cloud.userinfo(access).await.0, 200);
    assert_eq!(cloud.redeem(client, &code, &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.userinfo(access).await.0, 401);
    assert_eq!(cloud.refresh(client, refresh, &[]).await, refused("invalid_grant"));
}

#[tokio::test]
async fn a_code_lasts_a_minute() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let (early, late) = (ada.code(&[("client_id", &id)]).await, ada.code(&[("client_id", &id)]).await);
    cloud.clock.advance(59_999);
    assert_eq!(cloud.redeem((&id, &secret), &early, &[]).await.0, 200);
    cloud.clock.advance(1);
    assert_eq!(cloud.redeem((&id, &secret), &late, &[]).await, refused("invalid_grant"));
}

#[tokio::test]
async fn a_code_is_bound_to_its_client_its_redirect_uri_and_its_challenge() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let (other, other_secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let client = (id.as_str(), secret.as_str());

    let code = ada.code(&[("client_id", &id)]).await;
    assert_eq!(cloud.redeem((&other, &other_secret), &code, &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.redeem(client, &code, &[]).await.0, 200, "another client cannot spoil it");

    for wrong in ["http://localhost:5173", "http://localhost:5173/?x", "http://localhost:5174/"] {
        let code = ada.code(&[("client_id", &id)]).await;
        assert_eq!(cloud.redeem(client, &code, &[("redirect_uri", wrong)]).await, refused("invalid_grant"), "{wrong}");
        assert_eq!(cloud.redeem(client, &code, &[]).await, refused("invalid_grant"), "one failure is all it takes");
    }
    for wrong in [&[][..], &[("code_verifier", CHALLENGE)], &[("code_verifier", "x")]] {
        let pkce = [("client_id", id.as_str()), ("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
        let code = ada.code(&pkce).await;
        assert_eq!(cloud.redeem(client, &code, wrong).await, refused("invalid_grant"), "{wrong:?}");
    }
}

#[tokio::test]
async fn pkce_is_for_confidential_applications_too_and_cannot_be_taken_out_on_the_way() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let pkce = [("client_id", id.as_str()), ("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let code = ada.code(&pkce).await;
    assert_eq!(cloud.redeem((&id, &secret), &code, &[("code_verifier", VERIFIER)]).await.0, 200);
    let without = ada.code(&[("client_id", &id)]).await;
    let (status, answer) = cloud.redeem((&id, &secret), &without, &[("code_verifier", VERIFIER)]).await;
    assert_eq!((status, answer), refused("invalid_grant"));
}

#[tokio::test]
async fn a_non_confidential_application_needs_pkce_with_s256_and_no_secret() {
    let cloud = Cloud::with_people().await;
    let id = cloud.native_application(CALLBACK).await;
    let mut ada = Visitor::new(&cloud);
    for pkce in [
        &[][..],
        &[("code_challenge", CHALLENGE)],
        &[("code_challenge", CHALLENGE), ("code_challenge_method", "plain")],
        &[("code_challenge", "short"), ("code_challenge_method", "S256")],
        &[("code_challenge_method", "S256")],
    ] {
        let mut parameters = vec![("client_id", id.as_str()), ("state", "s")];
        parameters.extend_from_slice(pkce);
        let page = ada.begin(&parameters).await;
        let answer = query(&page.location().unwrap());
        assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("invalid_request", "s"), "{pkce:?}");
    }
    let verifier = "x".repeat(128);
    let hash = challenge(&verifier);
    let pkce = [("client_id", id.as_str()), ("code_challenge", &hash), ("code_challenge_method", "S256")];
    let code = ada.code(&pkce).await;
    let with_secret = cloud.redeem((&id, "secret"), &code, &[("code_verifier", &verifier)]).await;
    assert_eq!(with_secret, refused("invalid_client"));
    let (status, answer) = cloud.redeem((&id, ""), &code, &[("code_verifier", &verifier)]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(claims(answer["access_token"].as_str().unwrap())["sub_type"], "user");
}

#[tokio::test]
async fn a_native_application_takes_any_port_of_a_loopback_address_and_no_other_liberty() {
    let cloud = Cloud::with_people().await;
    let id = cloud.native_application("http://127.0.0.1/cb,http://[::1]/cb,http://localhost/cb,com.acme.app:/cb").await;
    let mut ada = Visitor::new(&cloud);
    let with = |uri| {
        [
            ("client_id", id.as_str()),
            ("redirect_uri", uri),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]
    };
    for uri in ["http://127.0.0.1:49152/cb", "http://[::1]:49152/cb", "http://localhost/cb", "com.acme.app:/cb"] {
        let location = ada.allow(&with(uri)).await;
        assert!(location.as_str().starts_with(uri), "{location}");
        let code = query(&location)["code"].clone();
        let exact = [("redirect_uri", uri), ("code_verifier", VERIFIER)];
        assert_eq!(cloud.redeem((&id, ""), &code, &exact).await.0, 200, "{uri}");
    }
    for uri in
        ["http://127.0.0.1:49152/cb2", "http://localhost:49152/cb", "http://127.0.0.2:49152/cb", "com.acme.app:/"]
    {
        let page = ada.begin(&with(uri)).await;
        assert_eq!((page.status, page.url.path()), (400, "/identity_/web/"), "{uri}");
    }
    // The port is part of what the code is bound to.
    let code = ada.code(&with("http://127.0.0.1:49152/cb")).await;
    let other = [("redirect_uri", "http://127.0.0.1:49153/cb"), ("code_verifier", VERIFIER)];
    assert_eq!(cloud.redeem((&id, ""), &code, &other).await, refused("invalid_grant"));
}

#[tokio::test]
async fn the_consent_page_lets_its_form_lead_to_each_kind_of_redirect_uri() {
    let cloud = Cloud::with_people().await;
    let id =
        cloud.native_application("http://127.0.0.1/cb,http://[::1]/cb,com.acme.app:/cb,https://app.example/cb").await;
    let mut ada = Visitor::new(&cloud);
    for (uri, source) in [
        ("http://127.0.0.1:49152/cb", "http://127.0.0.1:49152"),
        ("http://[::1]:49152/cb", "http:"),
        ("com.acme.app:/cb", "com.acme.app:"),
        ("https://app.example/cb", "https://app.example"),
    ] {
        let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
        let page = ada.consent_page(&[("client_id", &id), ("redirect_uri", uri), pkce[0], pkce[1]]).await;
        let policy = page.header("content-security-policy");
        assert!(policy.contains(&format!("form-action 'self' {source};")), "{policy}");
    }
}

#[tokio::test]
async fn only_registered_user_scopes_and_openid_connects_can_be_allowed() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    for scope in ["OR.Queues", "OR.Jobs OR.Queues", "OR.Jobs.Read", "OR.Assets", "OR.Nope", "offline_access", "or.jobs"]
    {
        let answer = query(&ada.begin(&[("client_id", &id), ("scope", scope)]).await.location().unwrap());
        assert_eq!(answer["error"], "invalid_scope", "{scope}");
    }
    let long = "OR.Jobs ".repeat(200);
    let answer = query(&ada.begin(&[("client_id", &id), ("scope", &long)]).await.location().unwrap());
    assert_eq!((answer["error"].as_str(), answer["error_description"].as_str()), ("invalid_request", "Invalid scope"));
    let all = "OR.Jobs OR.Default openid profile email offline_access";
    ada.code(&[("client_id", &id), ("scope", all)]).await;
}

#[tokio::test]
async fn the_grants_of_an_application_follow_from_the_scopes_it_was_last_saved_with() {
    let cloud = Cloud::with_people().await;
    let application_only = json!([{ "name": "OR.Jobs", "type": 1 }]);
    let (id, secret) = cloud.created("app", &application_only).await;
    let mut ada = Visitor::new(&cloud);
    let answer = query(&ada.begin(&[("client_id", &id)]).await.location().unwrap());
    assert_eq!(answer["error"], "unauthorized_client");
    assert_eq!(cloud.redeem((&id, &secret), "x", &[]).await, refused("unauthorized_client"));
    assert_eq!(cloud.refresh((&id, &secret), "x", &[]).await, refused("unauthorized_client"));

    let user_only = cloud.application("app", &json!([{ "name": "OR.Jobs", "type": 0 }]));
    assert_eq!(cloud.manage(Method::PUT, &cloud.path_of(&id), Some(&user_only)).await.0, 200);
    let code = ada.code(&[("client_id", &id)]).await;
    assert_eq!(cloud.redeem((&id, &secret), &code, &[]).await.0, 200);
    let alone = cloud.ask_for_token(&(id.clone(), secret.clone()), "OR.Jobs").await;
    assert_eq!(alone.json::<Value>().await.unwrap()["error"], "unauthorized_client");
}

#[tokio::test]
async fn what_was_taken_from_an_application_meanwhile_is_not_given() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let open = ada.consent_page(&[("client_id", &id)]).await;
    let code = ada.code(&[("client_id", &id), ("scope", "OR.Jobs OR.Assets.Read")]).await;
    let elsewhere = ada.consent_page(&[("client_id", &id), ("scope", "OR.Assets.Read")]).await;
    let change = cloud.application("app", &json!([{ "name": "OR.Assets.Read", "type": 0 }]));
    cloud.manage(Method::PUT, &cloud.path_of(&id), Some(&change)).await;
    assert_eq!(ada.decide(&open, "allow").await.status, 400);
    assert_eq!(cloud.redeem((&id, &secret), &code, &[]).await.1["scope"], "OR.Assets.Read");

    let mut moved = change;
    moved["redirectUri"] = json!("http://localhost:9999/");
    cloud.manage(Method::PUT, &cloud.path_of(&id), Some(&moved)).await;
    let page = ada.decide(&elsewhere, "allow").await;
    assert_eq!((page.status, page.location()), (400, None));
}

#[tokio::test]
async fn an_application_cannot_choose_its_client_id_and_is_not_taken_for_a_person() {
    let cloud = Cloud::with_people().await;
    let person =
        claims(cloud.tokens(&cloud.web_application().await, "OR.Jobs").await["access_token"].as_str().unwrap());
    let mut request = cloud.application("Ada Lovelace", &json!([{ "name": "OR.Jobs", "type": 1 }]));
    for name in ["id", "clientId", "client_id"] {
        request[name] = person["sub"].clone();
    }
    let (_, made) = cloud.post("ExternalClient", &request).await;
    assert_ne!(made["id"], person["sub"]);
    let client = (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned());
    let alone = claims(&cloud.token(&client, "OR.Jobs").await);
    assert_eq!((&alone["sub"], &alone["sub_type"]), (&made["id"], &json!("service.external")));
    assert_eq!(person["sub_type"], "user");
}
