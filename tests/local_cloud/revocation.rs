//! Revocation and introspection.

use reqwest::Method;
use serde_json::{Value, json};

use super::person::{ADA, CALLBACK, CHALLENGE, VERIFIER, Visitor, claims};
use super::{Cloud, text};

type Client = (String, String);

async fn revoke(cloud: &Cloud, client: &Client, token: &str) -> (u16, Value) {
    let form = [("client_id", client.0.as_str()), ("client_secret", &client.1), ("token", token)];
    cloud.form("/connect/revocation", &form).await
}

async fn introspect(cloud: &Cloud, client: &Client, token: &str) -> (u16, Value) {
    let form = [("client_id", client.0.as_str()), ("client_secret", &client.1), ("token", token)];
    cloud.form("/connect/introspect", &form).await
}

fn inactive() -> (u16, Value) {
    (200, json!({ "active": false }))
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_its_family_and_its_access_tokens_along() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let auth = (client.0.as_str(), client.1.as_str());
    let first = cloud.tokens(&client, "openid offline_access").await;
    let (_, second) = cloud.refresh(auth, &text(&first, "refresh_token"), &[]).await;
    let other = cloud.tokens(&client, "openid offline_access").await;
    // A token that has been used is still one of the family.
    assert_eq!(revoke(&cloud, &client, &text(&first, "refresh_token")).await, (200, Value::Null));
    assert_eq!(cloud.refresh(auth, &text(&second, "refresh_token"), &[]).await.1["error"], "invalid_grant");
    for tokens in [&first, &second] {
        assert_eq!(cloud.userinfo(&text(tokens, "access_token")).await.0, 401);
        assert_eq!(introspect(&cloud, &client, &text(tokens, "access_token")).await, inactive());
    }
    assert_eq!(cloud.userinfo(&text(&other, "access_token")).await.0, 200);
    assert_eq!(cloud.refresh(auth, &text(&other, "refresh_token"), &[]).await.0, 200);
}

#[tokio::test]
async fn a_revoked_access_token_opens_nothing_and_takes_nothing_along() {
    let cloud = Cloud::with_people().await;
    let client = cloud.created("app", &json!([{ "name": "PM.OAuthApp.Read", "type": 0 }])).await;
    let tokens = cloud.tokens(&client, "openid PM.OAuthApp.Read offline_access").await;
    let token = text(&tokens, "access_token");
    assert_eq!(cloud.call(&token, Method::GET, "ExternalApiResource", None).await.status(), 200);
    assert_eq!(revoke(&cloud, &client, &token).await.0, 200);
    assert_eq!(cloud.call(&token, Method::GET, "ExternalApiResource", None).await.status(), 401);
    assert_eq!(cloud.userinfo(&token).await.0, 401);
    assert_eq!(introspect(&cloud, &client, &token).await, inactive());
    assert_eq!(cloud.refresh((&client.0, &client.1), &text(&tokens, "refresh_token"), &[]).await.0, 200);
}

#[tokio::test]
async fn a_token_that_a_client_got_for_itself_can_be_revoked_too() {
    let cloud = Cloud::start().await;
    let client = cloud.created("app", &json!([{ "name": "PM.OAuthApp.Read", "type": 1 }])).await;
    let (one, other) = (cloud.token(&client, "PM.OAuthApp.Read").await, cloud.token(&client, "PM.OAuthApp.Read").await);
    assert_eq!(revoke(&cloud, &client, &one).await.0, 200);
    assert_eq!(cloud.call(&one, Method::GET, "ExternalApiResource", None).await.status(), 401);
    assert_eq!(cloud.call(&other, Method::GET, "ExternalApiResource", None).await.status(), 200);
}

#[tokio::test]
async fn only_its_own_client_revokes_a_token() {
    let cloud = Cloud::with_people().await;
    let (client, other) = (cloud.web_application().await, cloud.web_application().await);
    let native = (cloud.native_application(CALLBACK).await, String::new());
    let tokens = cloud.tokens(&client, "openid offline_access").await;
    for token in [text(&tokens, "access_token"), text(&tokens, "refresh_token")] {
        for stranger in [&other, &native] {
            let refusal = revoke(&cloud, stranger, &token).await;
            assert_eq!(refusal, (400, json!({ "error": "invalid_grant" })));
        }
        let unproven = revoke(&cloud, &(client.0.clone(), "wrong".to_owned()), &token).await;
        assert_eq!(unproven, (400, json!({ "error": "invalid_client" })));
    }
    assert_eq!(cloud.userinfo(&text(&tokens, "access_token")).await.0, 200);
    assert_eq!(cloud.refresh((&client.0, &client.1), &text(&tokens, "refresh_token"), &[]).await.0, 200);
}

#[tokio::test]
async fn revoking_what_is_of_no_use_already_succeeds_whatever_the_hint() {
    let cloud = Cloud::start().await;
    let client = cloud.web_application().await;
    for hint in ["access_token", "refresh_token", "something_else"] {
        let form = [
            ("client_id", client.0.as_str()),
            ("client_secret", &client.1),
            ("token", "nonsense"),
            ("token_type_hint", hint),
        ];
        assert_eq!(cloud.form("/connect/revocation", &form).await.0, 200, "{hint}");
    }
}

#[tokio::test]
async fn a_non_confidential_application_revokes_its_tokens_without_a_secret() {
    let cloud = Cloud::with_people().await;
    let native = (cloud.native_application(CALLBACK).await, String::new());
    let parameters = [
        ("client_id", native.0.as_str()),
        ("scope", "OR.Jobs offline_access"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let code = Visitor::new(&cloud).code(&parameters).await;
    let (_, tokens) = cloud.redeem((&native.0, ""), &code, &[("code_verifier", VERIFIER)]).await;
    assert_eq!(revoke(&cloud, &native, &text(&tokens, "refresh_token")).await.0, 200);
    let refusal = cloud.refresh((&native.0, ""), &text(&tokens, "refresh_token"), &[]).await;
    assert_eq!(refusal.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_client_learns_of_its_own_tokens_what_they_are_good_for() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let tokens = cloud.tokens(&client, "openid OR.Jobs offline_access").await;
    let access = text(&tokens, "access_token");
    let (status, told) = introspect(&cloud, &client, &access).await;
    assert_eq!((status, &told["active"], &told["token_type"]), (200, &json!(true), &json!("Bearer")));
    assert_eq!((&told["scope"], &told["username"]), (&json!("openid OR.Jobs offline_access"), &json!(ADA.0)));
    let claims = claims(&access);
    for same in ["sub", "client_id", "iss", "aud", "jti", "exp", "iat", "nbf"] {
        assert_eq!(told[same], claims[same], "{same}");
    }
    let (_, told) = introspect(&cloud, &client, &text(&tokens, "refresh_token")).await;
    assert_eq!((&told["active"], &told["sub"]), (&json!(true), &claims["sub"]));
    assert_eq!(told["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60 * 24 * 3600);
    let own = cloud.token(&client, "OR.Queues").await;
    assert_eq!(introspect(&cloud, &client, &own).await.1["sub"], json!(client.0));

    cloud.refresh((&client.0, &client.1), &text(&tokens, "refresh_token"), &[]).await;
    assert_eq!(introspect(&cloud, &client, &text(&tokens, "refresh_token")).await, inactive());
    cloud.clock.advance(3_600_000);
    assert_eq!(introspect(&cloud, &client, &access).await, inactive());
}

#[tokio::test]
async fn nobody_learns_anything_of_a_token_that_is_not_theirs() {
    let cloud = Cloud::with_people().await;
    let (client, other) = (cloud.web_application().await, cloud.web_application().await);
    let native = (cloud.native_application(CALLBACK).await, String::new());
    let tokens = cloud.tokens(&client, "openid OR.Jobs offline_access").await;
    for token in ["access_token", "refresh_token", "id_token"].map(|name| text(&tokens, name)) {
        assert_eq!(introspect(&cloud, &other, &token).await, inactive());
        for unproven in [&native, &(client.0.clone(), "wrong".to_owned()), &(client.0.clone(), String::new())] {
            assert_eq!(introspect(&cloud, unproven, &token).await, (401, json!({ "error": "invalid_client" })));
        }
    }
    assert_eq!(introspect(&cloud, &client, &text(&tokens, "id_token")).await, inactive());
    assert_eq!(introspect(&cloud, &client, "nonsense").await, inactive());
}
