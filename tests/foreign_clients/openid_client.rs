//! `openid-client`, the certified relying party for Node. It takes nothing but the issuer, the client id and the secret
//! from what is published, and finds the rest by discovery.

use serde_json::{Value, json};

use super::stage::{self, Stage};
use crate::support::Result;

async fn run(case: &'static str) -> Result<Value> {
    stage::node("openid_client.mjs", case, Stage::shared().await?.input()).await
}

#[tokio::test]
async fn openid_client_discovers_what_is_published() -> Result<()> {
    let found = run("discovery").await?;
    let published = &Stage::shared().await?.applications["worker"];
    for (member, key) in [
        ("issuer", "issuer-uri"),
        ("token_endpoint", "token-uri"),
        ("authorization_endpoint", "authorization-uri"),
        ("jwks_uri", "jwk-set-uri"),
    ] {
        assert_eq!(found[member], published[key], "{member}");
    }
    assert_eq!(found["code_challenge_methods_supported"], json!(["S256"]));
    Ok(())
}

#[tokio::test]
async fn openid_client_gets_a_token_by_client_credentials_that_verifies_with_the_published_keys() -> Result<()> {
    let answer = run("client_credentials").await?;
    let (client, issuer) = Stage::shared().await?.client_and_issuer("worker");
    assert_eq!(answer["claims"]["sub"], client, "{answer}");
    assert_eq!(answer["claims"]["iss"], issuer, "{answer}");
    assert_eq!(answer["claims"]["sub_type"], "service.external", "{answer}");
    assert_eq!(answer["scope"], "OR.Default OR.Queues", "{answer}");
    assert_eq!(answer["expires_in"], 3600, "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_may_send_the_secret_in_a_header() -> Result<()> {
    assert_eq!(run("basic").await?["scope"], "OR.Default OR.Queues");
    Ok(())
}

#[tokio::test]
async fn openid_client_signs_people_in_for_a_confidential_application() -> Result<()> {
    let answer = run("code").await?;
    let (client, issuer) = Stage::shared().await?.client_and_issuer("portal");
    assert_eq!(answer["called"], "https://portal.example.com/callback", "{answer}");
    assert_eq!(answer["kinds"], json!(["access_token", "expires_in", "id_token", "scope", "token_type"]), "{answer}");
    assert_eq!(answer["id"]["aud"], client, "{answer}");
    assert_eq!(answer["id"]["iss"], issuer, "{answer}");
    assert_eq!(answer["claims"]["client_id"], client, "{answer}");
    assert_eq!(answer["claims"]["sub_type"], "user", "{answer}");
    assert_eq!(answer["claims"]["sub"], answer["id"]["sub"], "{answer}");
    assert_eq!(answer["person"]["name"], "Ada Lovelace", "{answer}");
    assert_eq!(answer["person"]["email"], "ada@acme.example", "{answer}");
    assert_eq!(answer["introspected"]["active"], true, "{answer}");
    assert_eq!(answer["introspected"]["username"], "ada@acme.example", "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_signs_people_in_with_pkce_for_a_non_confidential_application() -> Result<()> {
    let answer = run("code_with_pkce").await?;
    let kinds = json!(["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"]);
    assert_eq!(answer["kinds"], kinds, "{answer}");
    assert_eq!(answer["claims"]["scope"], json!(["openid", "profile", "email", "offline_access", "OR.Jobs.Read"]));
    assert_eq!(answer["person"]["sub"], answer["id"]["sub"], "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_gets_nothing_for_a_non_confidential_application_without_pkce() -> Result<()> {
    let answer = run("pkce_is_not_optional").await?;
    assert_eq!(answer["none"]["error"], "invalid_request", "{answer}");
    assert_eq!(answer["plain"]["error"], "invalid_request", "{answer}");
    assert_eq!(answer["another"]["error"], "invalid_grant", "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_refreshes_and_a_refresh_token_that_is_used_twice_ends_its_family() -> Result<()> {
    let answer = run("refresh").await?;
    assert_eq!(answer["rotated"], true, "{answer}");
    assert_eq!(answer["claims"]["sub_type"], "user", "{answer}");
    assert_eq!(answer["replayed"]["error"], "invalid_grant", "{answer}");
    assert_eq!(answer["family"]["error"], "invalid_grant", "{answer}");
    assert_eq!(answer["without"], Value::Null, "no refresh token without offline_access");
    Ok(())
}

#[tokio::test]
async fn openid_client_revokes_an_access_token_alone_and_a_refresh_token_with_its_grant() -> Result<()> {
    let answer = run("revocation").await?;
    assert_eq!(answer["access"], json!({"active": false}), "{answer}");
    assert_eq!(answer["person"]["code"], "OAUTH_WWW_AUTHENTICATE_CHALLENGE", "{answer}");
    assert_eq!(answer["refresh"]["error"], "invalid_grant", "{answer}");
    assert_eq!(answer["grant"], json!({"active": false}), "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_introspects_its_own_tokens_and_no_others() -> Result<()> {
    let answer = run("introspection").await?;
    let (client, issuer) = Stage::shared().await?.client_and_issuer("worker");
    assert_eq!(answer["own"]["active"], true, "{answer}");
    assert_eq!(answer["own"]["client_id"], client, "{answer}");
    assert_eq!(answer["own"]["iss"], issuer, "{answer}");
    assert_eq!(answer["foreign"], json!({"active": false}), "{answer}");
    assert_eq!(answer["nonsense"], json!({"active": false}), "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_notices_an_answer_from_another_issuer() -> Result<()> {
    let answer = run("mix_up").await?;
    assert!(answer["intact"]["tokens"].is_array(), "{answer}");
    for case in ["missing", "another", "state"] {
        assert_eq!(answer[case]["code"], "OAUTH_INVALID_RESPONSE", "{case}: {answer}");
    }
    assert!(answer["missing"]["cause"].to_string().contains("missing"), "{answer}");
    assert!(answer["another"]["cause"].to_string().contains("issuer"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_is_told_when_a_person_does_not_allow_it() -> Result<()> {
    assert_eq!(run("denied").await?["error"], "access_denied");
    Ok(())
}

#[tokio::test]
async fn openid_client_is_refused_each_grant_that_the_application_does_not_have() -> Result<()> {
    let answer = run("refusals").await?;
    for (case, error) in [
        ("credentials_of_a_desktop", "unauthorized_client"),
        ("credentials_with_user_scopes_only", "unauthorized_client"),
        ("credentials_with_a_user_scope", "invalid_request"),
        ("credentials_with_an_unknown_scope", "invalid_scope"),
        ("credentials_with_offline_access", "invalid_scope"),
        ("wrong_secret", "invalid_client"),
        ("a_secret_of_a_desktop", "invalid_client"),
        ("request_of_one_without_user_scopes", "unauthorized_client"),
        ("code_without_user_scopes", "unauthorized_client"),
        ("refresh_without_user_scopes", "unauthorized_client"),
        ("request_with_an_application_scope", "invalid_scope"),
        ("password", "unsupported_grant_type"),
        ("device", "unsupported_grant_type"),
    ] {
        assert_eq!(answer[case]["error"], error, "{case}: {answer}");
    }
    let words = answer["credentials_with_a_user_scope"]["description"].to_string();
    assert!(words.contains("is not allowed to access User scopes"), "{words}");
    Ok(())
}
