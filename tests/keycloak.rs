//! The operator, the API server and a real Keycloak.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::foreign_clients::stage::{node, run, scripts};
use crate::support::world::{LIMIT, ready};
use crate::support::{Context, Result, eventually, peers};

mod enforce;
mod federated;
mod person;
mod roles;
pub mod stage;

use stage::{Stage, TO_REGISTER, claims};

#[tokio::test]
async fn the_published_credential_gets_a_token_with_clients_that_we_did_not_write() -> Result<()> {
    let stage = Stage::set("foreign-clients", TO_REGISTER).await?;
    let keys = stage.worker().await?;
    assert_eq!(keys["provider"], "keycloak");
    assert_eq!(keys["issuer-uri"], stage.realm.issuer());
    let prefix = format!("{}.worker-", stage.world.home.name());
    let (start, random) = keys["client-id"].split_at(prefix.len());
    assert!(start == prefix && random.len() == 5, "{}", keys["client-id"]);

    let input = json!({"applications": {"worker": keys}});
    let python = || peers::python(&scripts().join("requirements.txt"));
    let answer = run(python, "authlib_client.py", "client_credentials", input.clone()).await?;
    assert_eq!(answer["claims"]["azp"], keys["client-id"], "{answer}");
    assert_eq!(answer["claims"]["scope"], "queues", "{answer}");
    // By discovery, and with the secret in a header.
    assert_eq!(node("openid_client.mjs", "basic", input).await?["scope"], "queues");
    Ok(())
}

#[tokio::test]
async fn a_person_signs_in_to_a_public_client_with_pkce_and_not_without() -> Result<()> {
    let stage = Stage::set("public", TO_REGISTER).await?;
    person::known(&stage.realm).await?;
    let callback = "http://127.0.0.1:8765/callback";
    let spec = format!(
        "  redirectUris: ['{callback}']\n  resources:\n  - {{name: openid, userScopes: [openid, email, jobs]}}\n"
    );
    stage.application("desktop", "NonConfidential", &spec).await?;
    stage.world.until_ready("desktop").await?;
    let keys = stage.world.config_map("desktop-oauth").await?;
    assert!(!keys.contains_key("client-secret"));
    let client = stage.client(&keys).await?;
    assert_eq!(client["serviceAccountsEnabled"], false, "{client}");
    assert_eq!(client["secret"], Value::Null, "{client}");

    let tokens = person::signs_in(&stage.realm, &keys, &keys["user-scope"], true).await?;
    let scopes: std::collections::BTreeSet<&str> = tokens["scope"].as_str().unwrap_or_default().split(' ').collect();
    assert_eq!(scopes, ["email", "jobs", "openid"].into(), "{tokens}");
    assert!(tokens["id_token"].is_string() && claims(&tokens)?["sub"].is_string(), "{tokens}");
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", keys["client-id"].as_str()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap_or_default()),
    ];
    assert_eq!(stage.realm.token(&form).await?.0, 200);
    let without = person::signs_in(&stage.realm, &keys, "openid", false).await.err().context("refused")?;
    assert!(without.to_string().contains("code_challenge"), "{without}");
    Ok(())
}

#[tokio::test]
async fn what_a_person_changes_in_the_console_is_set_right_and_what_they_add_is_kept() -> Result<()> {
    let stage = Stage::set("drift", TO_REGISTER).await?;
    let keys = stage.worker().await?;
    let id = &keys["client-id"];
    let flows = |client: &mut Value| {
        client["implicitFlowEnabled"] = json!(true);
        client["directAccessGrantsEnabled"] = json!(true);
        client["standardFlowEnabled"] = json!(true);
        client["redirectUris"] = json!(["https://elsewhere.example/*"]);
        client["name"] = json!("Else");
        client["description"] = json!("a note of theirs");
        client["attributes"]["their.own"] = json!("kept");
    };
    stage.realm.edit_client(id, flows).await?;
    let right = |client: &Value| {
        client["implicitFlowEnabled"] == false
            && client["directAccessGrantsEnabled"] == false
            && client["standardFlowEnabled"] == false
            && client["redirectUris"] == json!([])
            && client["name"] == "worker"
    };
    stage.until_client("flows, redirect URIs and name are set right", &keys, right).await?;
    let client = stage.client(&keys).await?;
    assert_eq!(client["description"], "a note of theirs");
    assert_eq!(client["attributes"]["their.own"], "kept");

    stage.realm.edit_client(id, |client| client["enabled"] = json!(false)).await?;
    stage.until_client("it is enabled again", &keys, |client| client["enabled"] == true).await?;
    stage.realm.edit_client(id, |client| client["attributes"]["extapp.dev/uid"] = json!("")).await?;
    let marked = |client: &Value| client["attributes"]["extapp.dev/uid"].as_str().is_some_and(|uid| uid.len() == 36);
    stage.until_client("it is marked again", &keys, marked).await?;
    stage.realm.edit_client(id, |client| client["clientAuthenticatorType"] = json!("client-jwt")).await?;
    let by_secret = |client: &Value| client["clientAuthenticatorType"] == "client-secret";
    stage.until_client("it authenticates by its secret again", &keys, by_secret).await?;
    stage.realm.edit_client(id, |client| client["fullScopeAllowed"] = json!(true)).await?;
    stage.until_client("its scope is limited again", &keys, |client| client["fullScopeAllowed"] == false).await?;

    let internal = stage.realm.internal_id(id).await?;
    let scopes = stage.realm.get("/client-scopes").await?;
    let scope = scopes.as_array().into_iter().flatten().find(|scope| scope["name"] == "jobs").context("jobs")?;
    let path = format!("/clients/{internal}/optional-client-scopes/{}", scope["id"].as_str().unwrap_or_default());
    stage.realm.administer(reqwest::Method::PUT, &path, None).await?;
    let narrow = |client: &Value| client["optionalClientScopes"] == json!(["queues"]);
    stage.until_client("a scope that nobody asked for is taken away", &keys, narrow).await?;
    stage.world.until_ready("worker").await?;
    assert_eq!(stage.secret("worker").await?, keys, "nothing of it concerned the workload");
    assert!(stage.works(&keys).await?);
    Ok(())
}

#[tokio::test]
async fn a_lost_kubernetes_secret_comes_back_with_the_same_value() -> Result<()> {
    let stage = Stage::set("lost", TO_REGISTER).await?;
    let keys = stage.worker().await?;
    let secrets = stage.world.secrets(stage.world.home.name());
    secrets.delete("worker-oauth", &DeleteParams::default()).await?;
    let back = async || Ok(stage.secret("worker").await.ok());
    assert_eq!(eventually("the Secret is back", LIMIT, back).await?, keys);
    assert!(stage.works(&keys).await?);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_was_regenerated_or_set_by_hand_is_published() -> Result<()> {
    let stage = Stage::set("regenerated", TO_REGISTER).await?;
    let keys = stage.worker().await?;
    let path = format!("/clients/{}/client-secret", stage.realm.internal_id(&keys["client-id"]).await?);
    stage.realm.administer(reqwest::Method::POST, &path, None).await?;
    let another = async || {
        let now = stage.secret("worker").await?;
        Ok((now["client-secret"] != keys["client-secret"] && stage.works(&now).await?).then_some(now))
    };
    let second = eventually("the new secret is published", LIMIT, another).await?;
    assert_eq!(second["client-id"], keys["client-id"]);
    let by_hand = "by-hand-and-long-enough";
    stage.realm.edit_client(&keys["client-id"], |client| client["secret"] = json!(by_hand)).await?;
    let published = async || Ok((stage.secret("worker").await?["client-secret"] == by_hand).then_some(()));
    eventually("what was set by hand is published", LIMIT, published).await?;
    let client = stage.client(&keys).await?;
    assert_eq!(client["secret"], by_hand, "and stays at the server");
    Ok(())
}

#[tokio::test]
async fn where_the_realm_keeps_a_replaced_secret_it_stays_valid_until_it_is_retired() -> Result<()> {
    let stage = Stage::set("rotated", TO_REGISTER).await?;
    stage.realm.rotate_secrets(86_400, 3_600).await?;
    let keys = stage.worker().await?;
    let app = stage.world.applications(stage.world.home.name()).get("worker").await?;
    let credentials = app.status.context("a status")?.credentials;
    assert!(credentials[0].expires_at.is_some(), "the server's own expiry is told");
    let path = format!("/clients/{}/client-secret", stage.realm.internal_id(&keys["client-id"]).await?);
    stage.realm.administer(reqwest::Method::POST, &path, None).await?;
    let another = async || {
        let now = stage.secret("worker").await?;
        Ok((now["client-secret"] != keys["client-secret"]).then_some(now))
    };
    let now = eventually("the new secret is published", LIMIT, another).await?;
    assert!(stage.works(&now).await? && stage.works(&keys).await?, "both are valid");
    let namespace = stage.world.home.name();
    stage.world.until(namespace, "worker", |_, status| status.credentials.len() == 2).await?;
    Ok(())
}

#[tokio::test]
async fn an_adopted_client_keeps_its_id_and_its_secret() -> Result<()> {
    let stage = Stage::set("adopted", TO_REGISTER).await?;
    stage.by_hand("payments", "the-secret-that-runs-in-production").await?;
    let spec = "  displayName: Payments\n  adopt: {clientId: payments}\n  resources:\n  - {name: openid, applicationScopes: [jobs]}\n";
    stage.application("payments", "Confidential", spec).await?;
    stage.world.until_ready("payments").await?;
    let keys = stage.secret("payments").await?;
    assert_eq!(keys["client-id"], "payments");
    assert_eq!(keys["client-secret"], "the-secret-that-runs-in-production");
    assert!(stage.works(&keys).await?);
    let client = stage.client(&keys).await?;
    assert_eq!((&client["name"], &client["description"]), (&json!("Payments"), &json!("theirs")));
    assert_eq!(client["directAccessGrantsEnabled"], false, "what nothing asks for is closed");

    for (name, id) in [("own", stage.login.id.as_str()), ("built-in", "realm-management")] {
        let spec =
            format!("  adopt: {{clientId: {id}}}\n  resources:\n  - {{name: openid, applicationScopes: [jobs]}}\n");
        stage.application(name, "Confidential", &spec).await?;
        let reason = if name == "own" { "AdoptionRefused" } else { "RejectedByServer" };
        stage.world.until_refused(stage.world.home.name(), name, reason).await?;
    }
    stage.delete_application("payments").await?;
    assert!(stage.realm.client("payments").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_unknown_client_scope_is_refused_with_the_nearest_name() -> Result<()> {
    let stage = Stage::set("unknown-scope", TO_REGISTER).await?;
    let spec = "  resources:\n  - {name: openid, applicationScopes: [queue]}\n";
    stage.application("worker", "Confidential", spec).await?;
    let said = stage.world.until_refused(stage.world.home.name(), "worker", "UnknownScope").await?;
    assert!(said.contains("did you mean queues?"), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_operator_without_the_role_says_which_one_it_needs_and_recovers_when_it_has_it() -> Result<()> {
    let stage = Stage::unconnected("least-privilege", &[]).await?;
    stage.until_server_says("PermissionDenied", "the role manage-clients of the client realm-management").await?;
    // Whoever has only this is shown an empty list, which must not be believed.
    stage.realm.permit_operator(&["query-clients"]).await?;
    stage.until_server_says("PermissionDenied", "manage-clients").await?;
    stage.realm.permit_operator(TO_REGISTER).await?;
    stage.realm.forbid_operator(&["query-clients"]).await?;
    stage.until_connected().await?;
    let keys = stage.worker().await?;
    assert!(stage.works(&keys).await?);

    // Nothing is believed to be gone only because it cannot be seen any more.
    stage.realm.forbid_operator(TO_REGISTER).await?;
    stage.realm.permit_operator(&["query-clients"]).await?;
    stage.until_server_says("PermissionDenied", "manage-clients").await?;
    assert_eq!(stage.secret("worker").await?, keys);
    stage.realm.permit_operator(TO_REGISTER).await?;
    stage.until_connected().await?;
    assert_eq!(stage.secret("worker").await?["client-id"], keys["client-id"]);
    Ok(())
}

#[tokio::test]
async fn settings_are_made_and_kept_and_what_the_server_does_not_have_is_refused() -> Result<()> {
    let stage = Stage::set("settings", TO_REGISTER).await?;
    let spec = "  redirectUris: ['https://a.example/cb']\n  resources:\n  - {name: openid, userScopes: [jobs], applicationScopes: [queues]}\n  settings:\n    accessTokenLifespan: 15m\n    postLogoutRedirectUris: ['https://a.example/out', 'https://b.example/out']\n    allowedCorsOrigins: ['https://a.example']\n    frontchannelLogoutUri: https://a.example/f\n    backchannelLogoutUri: https://a.example/b\n    skipConsent: false\n";
    stage.application("portal", "Confidential", spec).await?;
    stage.world.until_ready("portal").await?;
    let keys = stage.secret("portal").await?;
    let (_, answer) =
        stage.realm.client_credentials(&keys["client-id"], &keys["client-secret"], &keys["scope"]).await?;
    assert_eq!(answer["expires_in"], 900, "{answer}");
    let as_set = |client: &Value| {
        client["consentRequired"] == true
            && client["webOrigins"] == json!(["https://a.example"])
            && client["attributes"]["backchannel.logout.url"] == "https://a.example/b"
            && client["attributes"]["post.logout.redirect.uris"] == "https://a.example/out##https://b.example/out"
    };
    assert!(as_set(&stage.client(&keys).await?));
    let edit = |client: &mut Value| {
        client["consentRequired"] = json!(false);
        client["webOrigins"] = json!(["*"]);
        client["attributes"]["backchannel.logout.url"] = json!("https://evil.example/");
    };
    stage.realm.edit_client(&keys["client-id"], edit).await?;
    stage.until_client("the settings are set right", &keys, as_set).await?;

    let spec = "  resources:\n  - {name: openid, applicationScopes: [queues]}\n  settings: {idTokenLifespan: 1h}\n";
    stage.application("wrong", "Confidential", spec).await?;
    let said = stage.world.until_refused(stage.world.home.name(), "wrong", "NotSupported").await?;
    assert!(said.starts_with("spec.settings.idTokenLifespan: "), "{said}");
    Ok(())
}

#[tokio::test]
async fn nothing_changed_means_nothing_written_at_the_realm_through_sweeps_and_a_restart() -> Result<()> {
    let mut stage = Stage::set("steady", TO_REGISTER).await?;
    stage.worker().await?;
    let spec = "  redirectUris: ['http://127.0.0.1:8765/callback', 'https://b.example/x?y=1']\n  resources:\n  - {name: openid, userScopes: [openid, profile, jobs]}\n";
    for (name, kind) in [("desktop", "NonConfidential"), ("portal", "Confidential")] {
        stage.application(name, kind, spec).await?;
        stage.world.until_ready(name).await?;
    }
    let counted = async || {
        let status = stage.world.servers().get("realm").await?.status.unwrap_or_default();
        Ok((status.applications == Some(3)).then_some(()))
    };
    eventually("the server counts its applications", LIMIT, counted).await?;
    stage.sweeps().await?;
    let (versions, writes) = (stage.world.versions().await?, stage.server_writes().await?);
    assert!((writes - 3.0).abs() < 0.5, "one for each application, not {writes}");
    stage.sweeps().await?;
    assert_eq!(stage.world.versions().await?, versions);
    assert!((stage.server_writes().await? - writes).abs() < 0.5);
    stage.world.operator.stop().await?;
    stage.world.operator.restart().await?;
    stage.sweeps().await?;
    assert_eq!(stage.world.versions().await?, versions, "after a restart");
    assert!(stage.server_writes().await? < 0.5, "after a restart");
    assert!(ready(&stage.world.servers().get("realm").await?.status.unwrap_or_default().conditions));
    Ok(())
}

#[tokio::test]
async fn the_example_does_what_it_says() -> Result<()> {
    let stage = Stage::set("example", stage::TO_PERMIT).await?;
    stage.realm.administer(reqwest::Method::POST, "/roles", Some(json!({"name": "invoice-reader"}))).await?;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/keycloak");
    for file in ["1-server", "2-invoices-api", "3-applications", "4-roles"] {
        let text = std::fs::read_to_string(folder.join(format!("{file}.yaml")))?;
        // Its namespaces and its realm are this test's.
        let home = format!("namespace: {}", stage.world.home.name());
        let text = text.replace("namespace: identity", &home).replace("namespace: finance", &home);
        let text = text.replace("https://keycloak.example.com", stage.realm.server_url());
        stage.world.apply(&text.replace("realm: acme", &format!("realm: {}", stage.realm.name()))).await?;
    }
    for name in ["invoice-export", "invoice-viewer"] {
        stage.world.until_ready(name).await?;
    }
    stage.world.until_permitted("invoice-export").await?;
    let keys = stage.secret("invoice-export").await?;
    let (_, answer) =
        stage.realm.client_credentials(&keys["client-id"], &keys["client-secret"], "invoices.read").await?;
    let claims = claims(&answer)?;
    assert!(claims["aud"].to_string().contains("https://invoices.example.com"), "{claims}");
    assert!(claims["realm_access"]["roles"].to_string().contains("invoice-reader"), "{claims}");
    Ok(())
}
