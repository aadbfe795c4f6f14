//! authlib, the usual OAuth client for Python, with the addresses that are published.

use serde_json::{Value, json};

use super::stage::{self, Stage};
use crate::support::{Result, peers};

async fn run(case: &'static str) -> Result<Value> {
    let python = || peers::python(&stage::scripts().join("requirements.txt"));
    stage::run(python, "authlib_client.py", case, Stage::shared().await?.input()).await
}

#[tokio::test]
async fn authlib_gets_and_verifies_a_token_with_what_was_published() -> Result<()> {
    let answer = run("client_credentials").await?;
    let (client, issuer) = Stage::shared().await?.client_and_issuer("worker");
    assert_eq!(answer["claims"]["client_id"], client, "{answer}");
    assert_eq!(answer["claims"]["iss"], issuer, "{answer}");
    assert_eq!(answer["claims"]["sub_type"], "service.external", "{answer}");
    assert_eq!(answer["claims"]["scope"], json!(["OR.Default", "OR.Queues"]), "{answer}");
    Ok(())
}

#[tokio::test]
async fn authlib_signs_people_in_for_a_confidential_application() -> Result<()> {
    let answer = run("code").await?;
    let (client, _) = Stage::shared().await?.client_and_issuer("portal");
    assert_eq!(answer["id"]["aud"], client, "{answer}");
    assert_eq!(answer["claims"]["sub_type"], "user", "{answer}");
    assert_eq!(answer["claims"]["sub"], answer["id"]["sub"], "{answer}");
    assert_eq!(answer["person"]["name"], "Ada Lovelace", "{answer}");
    assert_eq!(answer["introspected"]["active"], true, "{answer}");
    assert!(!answer["kinds"].to_string().contains("refresh_token"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn authlib_signs_people_in_with_pkce_for_a_non_confidential_application() -> Result<()> {
    let answer = run("code_with_pkce").await?;
    assert_eq!(answer["person"]["sub"], answer["id"]["sub"], "{answer}");
    assert!(answer["kinds"].to_string().contains("refresh_token"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn authlib_refreshes_and_a_refresh_token_that_is_used_twice_ends_its_family() -> Result<()> {
    let answer = run("refresh").await?;
    assert_eq!(answer["rotated"], true, "{answer}");
    assert_eq!(answer["replayed"]["error"], "invalid_grant", "{answer}");
    assert_eq!(answer["family"]["error"], "invalid_grant", "{answer}");
    Ok(())
}

#[tokio::test]
async fn authlib_revokes_a_refresh_token_with_its_grant() -> Result<()> {
    let answer = run("revocation").await?;
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(answer["refresh"]["error"], "invalid_grant", "{answer}");
    assert_eq!(answer["person"], 401, "{answer}");
    assert_eq!(answer["introspected"], json!({"active": false}), "{answer}");
    Ok(())
}

#[tokio::test]
async fn authlib_is_told_when_a_person_does_not_allow_it() -> Result<()> {
    assert_eq!(run("denied").await?["error"], "access_denied");
    Ok(())
}

#[tokio::test]
async fn authlib_is_refused_each_grant_that_the_application_does_not_have() -> Result<()> {
    let answer = run("refusals").await?;
    for (case, error) in [
        ("credentials_of_a_desktop", "unauthorized_client"),
        ("credentials_with_user_scopes_only", "unauthorized_client"),
        ("credentials_with_a_user_scope", "invalid_request"),
        ("credentials_with_an_unknown_scope", "invalid_scope"),
        ("credentials_with_offline_access", "invalid_scope"),
        ("wrong_secret", "invalid_client"),
        ("request_of_one_without_user_scopes", "unauthorized_client"),
        ("code_without_user_scopes", "unauthorized_client"),
        ("request_with_an_application_scope", "invalid_scope"),
        ("request_without_pkce", "invalid_request"),
        ("password", "unsupported_grant_type"),
    ] {
        assert_eq!(answer[case]["error"], error, "{case}: {answer}");
    }
    Ok(())
}
