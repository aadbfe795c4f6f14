//! Applications that need no secret: tokens of a real API server's service accounts, the operator, and a server that
//! verifies them through what the API server publishes.

use std::time::Duration;

use extapp::api::ExternalApplication;
use extapp::api::external_application::{CredentialKind, CredentialState, CredentialStatus};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::Stop;
use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Context, Error, Result, eventually, shared};

mod interrupted;
mod switch;

const AUDIENCE: &str = "https://cloud.example/federated";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An application that trusts the service account `worker`, below its `spec`.
const TRUSTING: &str = "  federatedCredentials:
  - {name: pod, audience: 'https://cloud.example/federated', serviceAccountRef: {name: worker}}
";
const SECRETLESS: &str = "  clientSecret: None
  federatedCredentials:
  - {name: pod, audience: 'https://cloud.example/federated', serviceAccountRef: {name: worker}}
";

/// A world whose cloud trusts the API server's certificate, with two service accounts.
async fn world(prefix: &str, variations: Variations) -> Result<World> {
    let authority = shared().await?.certificate().display().to_string();
    let cloud = [variations.cloud, vec!["--issuer-ca".into(), authority]].concat();
    let world = World::with(prefix, Variations { cloud, ..variations }).await?;
    for name in ["worker", "other"] {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        accounts(&world)
            .create(&PostParams::default(), &ServiceAccount { metadata, ..ServiceAccount::default() })
            .await?;
    }
    Ok(world)
}

fn accounts(world: &World) -> Api<ServiceAccount> {
    Api::namespaced(world.client.clone(), world.home.name())
}

/// What the kubelet would put into a projected volume.
async fn token(world: &World, account: &str, audience: &str) -> Result<String> {
    let spec = TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        expiration_seconds: Some(600),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts(world).create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("no token")?.token)
}

/// Whether an assertion gets an access token for this application. Nothing but a clear refusal is a no.
async fn accepted(world: &World, client_id: &str, assertion: &str) -> Result<bool> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
        ("scope", "OR.Queues"),
    ];
    let url = format!("{}/identity_/connect/token", world.cloud.base_url());
    let answer = reqwest::Client::new().post(url).form(&form).send().await?;
    if answer.status().is_success() {
        return Ok(true);
    }
    let text = answer.text().await?;
    if text.contains("invalid_client") { Ok(false) } else { Err(Error::new(text)) }
}

fn client_id(app: &ExternalApplication) -> String {
    app.status.as_ref().and_then(|status| status.client_id.clone()).unwrap_or_default()
}

fn federated(app: &ExternalApplication) -> Vec<&CredentialStatus> {
    let all = app.status.iter().flat_map(|status| &status.credentials);
    all.filter(|credential| credential.kind == CredentialKind::Federated).collect()
}

/// The federated credentials at the server.
async fn at_the_server(world: &World, client_id: &str) -> Result<Vec<Value>> {
    let path = format!("ExternalClient/{{organization}}/{client_id}/FederatedCredentials");
    let answer = world.identity(Method::GET, &path, None).await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

/// The names and subjects of those at the server, in order.
async fn trusted(world: &World, client_id: &str) -> Result<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = at_the_server(world, client_id)
        .await?
        .iter()
        .map(|credential| (text(&credential["name"]), text(&credential["subject"])))
        .collect();
    found.sort();
    Ok(found)
}

fn subject(world: &World, account: &str) -> String {
    format!("system:serviceaccount:{}:{account}", world.home.name())
}

async fn edit(world: &World, name: &str, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    world.applications(world.home.name()).patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn a_service_account_gets_an_access_token_and_there_is_no_secret_anywhere() -> Result<()> {
    let world = world("federated", Variations::default()).await?;
    let home = world.home.name();
    world.confidential(home, "invoices", SECRETLESS).await?;
    let app = world.until_ready("invoices").await?;
    let id = client_id(&app);
    assert!(accepted(&world, &id, &token(&world, "worker", AUDIENCE).await?).await?);
    assert!(!accepted(&world, &id, &token(&world, "other", AUDIENCE).await?).await?, "another account");
    assert!(
        !accepted(&world, &id, &token(&world, "worker", "https://cloud.example").await?).await?,
        "another audience"
    );

    let registration = world.registration("invoices").await?;
    assert_eq!(registration["secrets"], json!([]), "none was ever made");
    let keys = world.secret(home, "invoices-oauth").await?;
    assert_eq!((keys.get("client-secret"), keys.get("client-id")), (None, Some(&id)));
    let told = federated(&app);
    assert_eq!((told.len(), told[0].name.as_deref(), told[0].state), (1, Some("pod"), CredentialState::Active));
    assert!(told[0].created_at.is_some() && told[0].expires_at.is_none());
    assert_eq!(app.status.as_ref().map(|status| status.credentials.len()), Some(1));
    let at_server = at_the_server(&world, &id).await?;
    assert_eq!(at_server[0]["id"], json!(told[0].id));
    assert_eq!(at_server[0]["issuer"], json!(world.plane.url()));
    Ok(())
}

#[tokio::test]
async fn beside_a_secret_both_authenticate() -> Result<()> {
    let world = world("federated", Variations::default()).await?;
    world.confidential(world.home.name(), "both", TRUSTING).await?;
    let app = world.until_ready("both").await?;
    assert!(accepted(&world, &client_id(&app), &token(&world, "worker", AUDIENCE).await?).await?);
    assert!(world.works(&world.secret(world.home.name(), "both-oauth").await?).await?);
    Ok(())
}

#[tokio::test]
async fn the_list_is_the_whole_truth() -> Result<()> {
    let world = world("federated", Variations::default()).await?;
    world.confidential(world.home.name(), "listed", TRUSTING).await?;
    let id = client_id(&world.until_ready("listed").await?);
    let of =
        |name: &str, account: &str| json!({"name": name, "audience": AUDIENCE, "serviceAccountRef": {"name": account}});
    edit(&world, "listed", json!({"federatedCredentials": [of("pod", "other"), of("second", "worker")]})).await?;
    world.until_ready("listed").await?;
    let expected = [("pod".to_owned(), subject(&world, "other")), ("second".to_owned(), subject(&world, "worker"))];
    assert_eq!(trusted(&world, &id).await?, expected);
    edit(&world, "listed", json!({"federatedCredentials": [of("second", "worker")]})).await?;
    let app = world.until_ready("listed").await?;
    assert_eq!(trusted(&world, &id).await?, expected[1..]);
    assert_eq!(federated(&app).len(), 1);
    edit(&world, "listed", json!({"federatedCredentials": null})).await?;
    let app = world.until_ready("listed").await?;
    assert_eq!((trusted(&world, &id).await?.len(), federated(&app).len()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn what_somebody_changes_at_the_server_is_set_right() -> Result<()> {
    let server = "  driftInterval: 2s\n".into();
    let world = world("federated", Variations { server, ..Variations::uncounted() }).await?;
    world.confidential(world.home.name(), "drifting", SECRETLESS).await?;
    let id = client_id(&world.until_ready("drifting").await?);
    let path = format!("ExternalClient/{{organization}}/{id}/FederatedCredentials");
    let expected = [("pod".to_owned(), subject(&world, "worker"))];
    let right = async || Ok((trusted(&world, &id).await? == expected).then_some(()));

    let mut changed = at_the_server(&world, &id).await?.remove(0);
    let own = format!("{path}/{}", changed["id"].as_str().unwrap_or_default());
    changed["subject"] = json!("somebody else");
    world.identity(Method::PUT, &own, Some(changed.clone())).await?;
    eventually("what was changed is right again", LIMIT, right).await?;

    changed["name"] = json!("intruder");
    world.identity(Method::POST, &path, Some(changed)).await?;
    eventually("what was added is gone", LIMIT, right).await?;

    world.identity(Method::DELETE, &own, None).await?;
    eventually("what was removed is there again", LIMIT, right).await?;
    let app = world.until_ready("drifting").await?;
    assert!(accepted(&world, &id, &token(&world, "worker", AUDIENCE).await?).await?);
    let there = at_the_server(&world, &id).await?;
    eventually("the status names it", LIMIT, async || {
        let app = world.applications(world.home.name()).get("drifting").await?;
        Ok((json!(federated(&app)[0].id) == there[0]["id"]).then_some(()))
    })
    .await?;
    assert_eq!(federated(&app).len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_only_watches_is_told_and_changes_nothing() -> Result<()> {
    let world = world("federated", Variations::default()).await?;
    let made = world.foreign_registration("watched").await?;
    let id = made["id"].as_str().context("an id")?;
    let more = format!("{TRUSTING}  adopt: {{clientId: {id}}}\n  management: Observe\n");
    world.confidential(world.home.name(), "watched", &more).await?;
    let app = world.until(world.home.name(), "watched", |_, status| !status.drift.is_empty()).await?;
    let drift = app.status.map(|status| status.drift).unwrap_or_default();
    let told = drift.iter().find(|difference| difference.field == "federatedCredentials").context("the difference")?;
    assert!(told.desired.contains(&subject(&world, "worker")) && told.actual.is_empty(), "{told:?}");
    assert_eq!(trusted(&world, id).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_reach_the_cluster_says_so_with_the_way_out() -> Result<()> {
    // Its certificate is not known there.
    let world = World::new("federated").await?;
    world.confidential(world.home.name(), "unreachable", TRUSTING).await?;
    let message = world.until_refused(world.home.name(), "unreachable", "RejectedByServer").await?;
    assert!(message.starts_with("spec.federatedCredentials[pod]: "), "{message}");
    assert!(message.contains("--service-account-issuer"), "{message}");
    let keys = world.secret(world.home.name(), "unreachable-oauth").await?;
    assert!(world.works(&keys).await?, "the secret is published all the same");
    Ok(())
}

#[tokio::test]
async fn a_registration_that_is_not_known_everywhere_yet_is_asked_again() -> Result<()> {
    let world = world("federated", Variations::default()).await?;
    let order = json!({"match": {"method": "POST", "path_contains": "/FederatedCredentials"}, "times": 2, "action": "not-in-partition"});
    world.cloud.faults(&order).await?;
    world.confidential(world.home.name(), "lagging", SECRETLESS).await?;
    let app = world.until_ready("lagging").await?;
    assert_eq!(world.cloud.orders().await?, json!([]), "it was refused twice");
    assert_eq!(trusted(&world, &client_id(&app)).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn nothing_is_written_after_a_restart() -> Result<()> {
    let server = "  driftInterval: 2s\n".into();
    let mut world = world("federated", Variations { server, ..Variations::default() }).await?;
    world.confidential(world.home.name(), "steady", SECRETLESS).await?;
    world.until_ready("steady").await?;
    let counted = async || {
        let status = world.servers().get("cloud").await?.status.unwrap_or_default();
        Ok((status.applications == Some(1)).then_some(()))
    };
    eventually("the server counts its applications", LIMIT, counted).await?;
    world.sweeps(1).await?;
    let before = (world.versions().await?, world.server_writes()?);
    world.operator.restart().await?;
    world.sweeps(2).await?;
    assert_eq!((world.versions().await?, world.server_writes()?), before);
    Ok(())
}

#[tokio::test]
async fn a_registration_that_is_kept_without_credentials_trusts_nobody() -> Result<()> {
    let world = world("federated", Variations::default()).await?;
    world.confidential(world.home.name(), "left", &format!("{TRUSTING}  deletion: {{policy: Revoke}}\n")).await?;
    let id = client_id(&world.until_ready("left").await?);
    world.applications(world.home.name()).delete("left", &kube::api::DeleteParams::default()).await?;
    world.until_gone(world.home.name(), "left").await?;
    assert_eq!(trusted(&world, &id).await?, []);
    assert_eq!(world.registration("left").await?["secrets"], json!([]));
    Ok(())
}
