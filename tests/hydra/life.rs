//! Applications from their first day at a Hydra to their last.

use std::path::Path;

use extapp::api::{ApiResource, AuthorizationServer};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::site::{SERVER, Site};
use crate::support::peers;
use crate::support::world::{Keys, LIMIT};
use crate::support::{Context, Result, eventually, wait_for};

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_clients")
}

/// What a foreign client gets for an application, by the script that the other servers are tried with.
async fn foreign(script: &'static str, case: &'static str, keys: &Keys) -> Result<Value> {
    let input = json!({"applications": {"worker": keys}}).to_string();
    let work = move || {
        let python = Path::new(script).extension().is_some_and(|extension| extension == "py");
        let requirements = scripts().join("requirements.txt");
        let interpreter = if python { peers::python(&requirements)? } else { peers::node(&scripts())? };
        interpreter.run(script, &[case], &input)
    };
    let printed = tokio::task::spawn_blocking(work).await??;
    serde_json::from_str(&printed).context(printed)
}

#[tokio::test]
async fn what_is_published_for_a_confidential_application_gets_tokens_in_foreign_clients() -> Result<()> {
    let site = Site::new("hydra-foreign").await?;
    let settings = "  settings: {tokenEndpointAuthMethod: client_secret_post, accessTokenStrategy: jwt}\n";
    site.asking("worker", "applicationScopes: [invoices.read, invoices.write]", settings).await?;
    site.confidential("robot", "").await?;
    site.world.until_ready("worker").await?;
    site.world.until_ready("robot").await?;
    let (worker, robot) = (site.keys("worker").await?, site.keys("robot").await?);
    assert_eq!(worker["provider"], "hydra");
    assert_eq!(worker["issuer-uri"], site.hydra.url());
    let answer = foreign("authlib_client.py", "client_credentials", &worker).await?;
    assert_eq!(answer["claims"]["sub"], worker["client-id"], "{answer}");
    assert_eq!(answer["scope"], "invoices.read invoices.write", "{answer}");
    let answer = foreign("openid_client.mjs", "basic", &robot).await?;
    assert_eq!(answer["scope"], "invoices.read", "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_non_confidential_application_is_a_public_client_and_gets_a_config_map() -> Result<()> {
    let site = Site::new("hydra-public").await?;
    site.world
        .apply(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {name: desktop}\nspec:\n  serverRef: {name: hydra}\n  type: NonConfidential\n  redirectUris: ['http://127.0.0.1:8400/callback']\n  resources:\n  - name: invoices\n    userScopes: [invoices.read]\n  - name: openid\n    userScopes: [openid, offline_access]\n",
        )
        .await?;
    site.world.until_ready("desktop").await?;
    let map = site.world.config_map("desktop-oauth").await?;
    let client = site.client("desktop").await?;
    assert_eq!(client["client_id"], map["client-id"]);
    assert!(!map.contains_key("client-secret"));
    assert_eq!(client["token_endpoint_auth_method"], "none");
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(client["response_types"], json!(["code"]));
    assert_eq!(client["redirect_uris"], json!(["http://127.0.0.1:8400/callback"]));
    assert_eq!(client["scope"], "invoices.read offline_access openid");
    Ok(())
}

#[tokio::test]
async fn a_client_says_whose_it_is_and_has_the_settings_that_are_asked_for() -> Result<()> {
    let site = Site::new("hydra-settings").await?;
    let settings = "  redirectUris: ['https://invoices.example.com/callback']\n  settings:\n    audiences: [https://api.example.com]\n    accessTokenLifespan: 15m\n    refreshTokenLifespan: 30d\n    idTokenLifespan: 1h\n    postLogoutRedirectUris: ['https://invoices.example.com/bye']\n    allowedCorsOrigins: ['https://invoices.example.com']\n    backchannelLogoutUri: https://invoices.example.com/out\n    skipConsent: true\n";
    site.asking("invoices", "applicationScopes: [invoices.read]\n    userScopes: [invoices.read]", settings).await?;
    let app = site.world.until_ready("invoices").await?;
    let client = site.client("invoices").await?;
    assert_eq!(client["metadata"]["extapp.dev/uid"], json!(app.metadata.uid));
    assert_eq!(client["owner"], format!("extapp/{}/invoices", site.world.home.name()));
    assert_eq!(client["grant_types"], json!(["authorization_code", "client_credentials", "refresh_token"]));
    assert_eq!(client["audience"], json!(["https://api.example.com"]));
    for grant in ["client_credentials", "authorization_code", "refresh_token"] {
        assert_eq!(client[format!("{grant}_grant_access_token_lifespan")], "15m0s", "{grant}");
    }
    for grant in ["authorization_code", "refresh_token"] {
        assert_eq!(client[format!("{grant}_grant_refresh_token_lifespan")], "720h0m0s", "{grant}");
        assert_eq!(client[format!("{grant}_grant_id_token_lifespan")], "1h0m0s", "{grant}");
    }
    assert_eq!(client["post_logout_redirect_uris"], json!(["https://invoices.example.com/bye"]));
    assert_eq!(client["allowed_cors_origins"], json!(["https://invoices.example.com"]));
    assert_eq!(client["backchannel_logout_uri"], "https://invoices.example.com/out");
    assert_eq!(client["skip_consent"], true);
    let keys = site.keys("invoices").await?;
    let (status, token) = site.hydra.token(&keys["client-id"], &keys["client-secret"], "invoices.read").await?;
    assert!(status.is_success(), "{token}");
    assert!(token["expires_in"].as_u64().is_some_and(|seconds| (890..=900).contains(&seconds)), "{token}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_scope_is_refused_with_the_nearest_one_that_is_declared() -> Result<()> {
    let site = Site::new("hydra-scope").await?;
    site.asking("typo", "applicationScopes: [invoices.reed]", "").await?;
    let message = site.world.until_refused(site.world.home.name(), "typo", "UnknownScope").await?;
    assert_eq!(message, "invoices.reed: unknown; did you mean invoices.read?");
    let app = site.world.applications(site.world.home.name()).get("typo").await?;
    assert_eq!(app.status.and_then(|status| status.client_id), None);
    site.asking("wrong", "userScopes: [invoices.write]", "  redirectUris: ['https://a.example/cb']\n").await?;
    site.world.until_refused(site.world.home.name(), "wrong", "WrongScopeType").await?;
    assert_eq!(site.hydra.clients("").await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn what_only_another_kind_of_server_can_do_is_refused_with_a_reason() -> Result<()> {
    let site = Site::new("hydra-refused").await?;
    site.confidential("invoices", "").await?;
    site.world.until_ready("invoices").await?;
    site.world.permit("invoices", "invoices", "  roles: [Reader]\n").await?;
    let message = site.world.until_not_permitted("invoices", "NotSupported").await?;
    assert!(message.contains("roles"), "{message}");
    // And the other way round.
    site.world.confidential(site.world.home.name(), "robot", "  settings: {skipConsent: true}\n").await?;
    let message = site.world.until_refused(site.world.home.name(), "robot", "NotSupported").await?;
    assert!(message.starts_with("spec.settings.skipConsent: "), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_server_refuses_in_its_own_words() -> Result<()> {
    let site = Site::new("hydra-words").await?;
    let settings = "  settings: {postLogoutRedirectUris: ['https://elsewhere.example.com/bye']}\n";
    site.confidential("invoices", settings).await?;
    let message = site.world.until_refused(site.world.home.name(), "invoices", "RejectedByServer").await?;
    assert!(message.contains("postLogoutRedirectUris"), "{message}");
    assert!(!message.contains("MAY choose"), "{message}");
    Ok(())
}

#[tokio::test]
async fn what_was_changed_at_the_server_is_set_right_and_the_rest_is_left_alone() -> Result<()> {
    let site = Site::new("hydra-drift").await?;
    site.confidential("invoices", "").await?;
    site.world.until_ready("invoices").await?;
    let keys = site.keys("invoices").await?;
    let changes = json!([
        {"op": "add", "path": "/client_name", "value": "Somebody's"},
        {"op": "add", "path": "/scope", "value": "invoices.read payroll.run"},
        {"op": "add", "path": "/grant_types", "value": ["client_credentials", "implicit"]},
        {"op": "add", "path": "/contacts", "value": ["team@example.com"]},
        {"op": "add", "path": "/metadata/team", "value": "billing"},
        {"op": "remove", "path": "/metadata/extapp.dev~1uid"},
    ]);
    site.patch(&keys["client-id"], changes).await?;
    let right = |client: &Value| {
        client["client_name"] == "invoices"
            && client["scope"] == "invoices.read"
            && client["grant_types"] == json!(["client_credentials"])
            && client["metadata"]["extapp.dev/uid"].is_string()
    };
    let client = site.until_client("invoices", "the client is as wanted again", right).await?;
    assert_eq!(client["contacts"], json!(["team@example.com"]));
    assert_eq!(client["metadata"]["team"], "billing");
    assert!(site.works(&keys).await?, "its secret is still the one that was published");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_replaced_and_the_old_one_is_dead() -> Result<()> {
    let site = Site::new("hydra-secret").await?;
    site.confidential("invoices", "").await?;
    site.world.until_ready("invoices").await?;
    let before = site.keys("invoices").await?;
    assert!(site.works(&before).await?);
    let secrets = site.world.secrets(site.world.home.name());
    secrets.delete("invoices-oauth", &DeleteParams::default()).await?;
    let after = eventually("there is another secret", LIMIT, async || {
        let keys = site.keys("invoices").await?;
        Ok((keys["client-secret"] != before["client-secret"]).then_some(keys))
    })
    .await?;
    assert_eq!(after["client-id"], before["client-id"], "the same client");
    assert!(site.works(&after).await?);
    assert!(!site.works(&before).await?, "there is one secret at a time");
    site.world.until_ready("invoices").await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_application_takes_its_client_along_unless_that_shall_stay() -> Result<()> {
    let site = Site::new("hydra-delete").await?;
    let home = site.world.home.name().to_owned();
    site.confidential("leaving", "").await?;
    site.confidential("staying", "  deletion: {policy: Retain}\n").await?;
    site.confidential("revoked", "  deletion: {policy: Revoke}\n").await?;
    for name in ["leaving", "staying", "revoked"] {
        site.world.until_ready(name).await?;
    }
    let (staying, revoked) = (site.keys("staying").await?, site.keys("revoked").await?);
    for name in ["leaving", "staying", "revoked"] {
        site.world.applications(&home).delete(name, &DeleteParams::default()).await?;
        site.world.until_gone(&home, name).await?;
    }
    let left: Vec<Value> = site.hydra.clients("").await?.into_iter().map(|row| row["client_name"].clone()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(site.works(&staying).await?);
    assert!(!site.works(&revoked).await?, "the client is there, and nobody knows its secret");
    Ok(())
}

#[tokio::test]
async fn an_existing_client_is_adopted_by_its_id_alone_and_keeps_what_is_not_ours() -> Result<()> {
    let site = Site::new("hydra-adopt").await?;
    let body = json!({
        "client_id": "legacy-invoices", "client_name": "Legacy", "scope": "old", "contacts": ["team@example.com"],
        "grant_types": ["client_credentials"], "metadata": {"team": "billing"}
    });
    let made = site.hydra.administer(Method::POST, "clients", Some(&body)).await?;
    site.confidential("invoices", "  displayName: Invoices\n  adopt: {clientId: legacy-invoices}\n").await?;
    site.world.until_ready("invoices").await?;
    let keys = site.keys("invoices").await?;
    assert_eq!(keys["client-id"], "legacy-invoices");
    assert!(site.works(&keys).await?);
    let right = |client: &Value| client["client_name"] == "Invoices" && client["scope"] == "invoices.read";
    let client = site.until_client("invoices", "the adopted client is as wanted", right).await?;
    assert_eq!(client["contacts"], json!(["team@example.com"]));
    assert_eq!(client["metadata"]["team"], "billing");
    assert_eq!(client["created_at"], made["created_at"]);
    assert_eq!(site.hydra.clients("").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn where_nothing_changes_nothing_is_written() -> Result<()> {
    let site = Site::new("hydra-steady").await?;
    let settings = "  settings: {accessTokenLifespan: 15m, skipLogoutConsent: false, audiences: []}\n";
    site.confidential("invoices", settings).await?;
    site.asking("nothing", "applicationScopes: [invoices.write]", "").await?;
    for name in ["invoices", "nothing"] {
        site.world.until_ready(name).await?;
    }
    let home = site.world.home.name();
    // What counts the applications comes after them.
    let server = |server: Option<&AuthorizationServer>| {
        server.and_then(|server| server.status.as_ref()).is_some_and(|status| status.applications == Some(2))
    };
    wait_for(site.world.servers(), SERVER, LIMIT, server).await?;
    let api = |api: Option<&ApiResource>| {
        api.and_then(|api| api.status.as_ref()).is_some_and(|status| status.applications == Some(2))
    };
    wait_for(Api::namespaced(site.world.client.clone(), home), "invoices", LIMIT, api).await?;
    let (versions, writes) = (site.world.versions().await?, site.hydra.writes());
    let listed = site.hydra.requests().len();
    // Sweeps, and an edit that asks for nothing new.
    let note = Patch::Merge(json!({"metadata": {"annotations": {"note": "seen"}}}));
    site.world.applications(home).patch("nothing", &PatchParams::default(), &note).await?;
    eventually("some sweeps", LIMIT, async || Ok((site.hydra.requests().len() > listed + 3).then_some(()))).await?;
    assert_eq!(site.hydra.writes(), writes);
    let now = site.world.versions().await?;
    let changed = now.iter().filter(|version| !versions.contains(version)).count();
    assert_eq!(changed, 1, "the annotation alone");
    Ok(())
}
