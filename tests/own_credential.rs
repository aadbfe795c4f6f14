//! The operator's own credential: read when it changes, reported before it expires, replaced on request.

use std::io::Write;

use extapp::api::authorization_server::{AuthorizationServerStatus, OperatorCredential};
use extapp::api::{AuthorizationServer, ROLLBACK, ROTATE};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::rotation;
use crate::support::gate::{Effect, Stop};
use crate::support::outcome::complete;
use crate::support::own_client::{OwnClient, SECRET, put};
use crate::support::world::{Keys, LIMIT, Variations, World, ready};
use crate::support::{Context, Error, Result, eventually, wait_for};

async fn world(prefix: &str, server: &str, gated: bool) -> Result<(World, OwnClient)> {
    let variations = Variations { server: server.into(), gated, ..Variations::uncounted() };
    let world = World::with(prefix, variations).await?;
    let own = OwnClient::hand_over(&world).await?;
    until_in_use(&world, &own.first.0).await?;
    Ok((world, own))
}

/// Waits until the status of the server is as wanted.
async fn until(
    world: &World,
    wanted: impl Fn(&AuthorizationServerStatus) -> bool + Send + 'static,
) -> Result<AuthorizationServerStatus> {
    let holds = move |server: Option<&AuthorizationServer>| {
        server.and_then(|server| server.status.as_ref()).is_some_and(&wanted)
    };
    let server = wait_for(world.servers(), "cloud", LIMIT, holds).await?;
    server.and_then(|server| server.status).context("the server is gone")
}

fn credential(status: &AuthorizationServerStatus) -> OperatorCredential {
    status.credential.clone().unwrap_or_default()
}

/// Status, reason and message of a condition.
fn condition(status: &AuthorizationServerStatus, kind: &str) -> Option<(String, String, String)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

fn says(status: &AuthorizationServerStatus, kind: &str, reason: &str) -> bool {
    condition(status, kind).is_some_and(|(_, said, _)| said == reason)
}

async fn until_in_use(world: &World, id: &str) -> Result<AuthorizationServerStatus> {
    let id = id.to_owned();
    until(world, move |status| credential(status).id.as_ref() == Some(&id) && ready(&status.conditions)).await
}

async fn ask(world: &World, request: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"extapp.dev/rotate": request}}}));
    world.servers().patch("cloud", &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits until a request was carried out.
async fn until_rotated(world: &World, request: &str) -> Result<AuthorizationServerStatus> {
    let request = request.to_owned();
    until(world, move |status| {
        credential(status).request.as_ref() == Some(&request) && says(status, "CredentialsRotated", "Rotated")
    })
    .await
}

async fn secret(world: &World) -> Result<Keys> {
    world.secret(world.home.name(), SECRET).await
}

async fn works(world: &World, own: &OwnClient, value: &str) -> Result<bool> {
    let url = format!("{}/identity_/connect/token", world.cloud.base_url());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &own.id),
        ("client_secret", value),
        ("scope", "PM.OAuthApp"),
    ];
    Ok(reqwest::Client::new().post(url).form(&form).send().await?.status().is_success())
}

/// The notes of the Events of one reason.
async fn notes(world: &World, reason: &str) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), world.home.name());
    let found = events.list(&ListParams::default().fields(&format!("reason={reason}"))).await?;
    let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some("cloud");
    Ok(found.into_iter().filter(about).filter_map(|event| event.note).collect())
}

async fn until_noted(world: &World, reason: &str, part: &str) -> Result<String> {
    let noted = async || Ok(notes(world, reason).await?.into_iter().find(|note| note.contains(part)));
    eventually(&format!("an Event {reason} with {part:?}"), LIMIT, noted).await
}

fn in_days(days: i64) -> Timestamp {
    let time = extapp::clock::now() + SignedDuration::from_hours(24 * days);
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[tokio::test]
async fn what_a_server_is_reached_with_is_read_when_it_changes() -> Result<()> {
    // Otherwise nothing is looked at for an hour.
    let (world, own) = world("own-change", "  driftInterval: 1h\n", false).await?;
    let (id, value) = own.further(&world, None).await?;
    own.remove(&world, &own.first.0).await?;
    put(&world, json!({"client-secret": value})).await?;
    until_in_use(&world, &id).await?;

    let kubeconfig = kube::config::Kubeconfig::read_from(world.plane.admin_kubeconfig())?;
    let cluster = kubeconfig.clusters[0].cluster.clone().context("a cluster")?;
    let pem = match (cluster.certificate_authority_data, cluster.certificate_authority) {
        (Some(data), _) => {
            use base64::Engine as _;
            String::from_utf8_lossy(&base64::engine::general_purpose::STANDARD.decode(data)?).into_owned()
        }
        (None, Some(file)) => std::fs::read_to_string(file)?,
        (None, None) => return Err(Error::new("no certificate")),
    };
    let authority = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.crt": text}});
    world.apply(&authority(&pem).to_string()).await?;
    let reference = Patch::Merge(json!({"spec": {"caRef": {"name": "authority"}}}));
    let changed = world.servers().patch("cloud", &PatchParams::default(), &reference).await?;
    let generation = changed.metadata.generation;
    until(&world, move |status| status.observed_generation == generation && ready(&status.conditions)).await?;
    world.apply(&authority("nothing of the kind").to_string()).await?;
    until(&world, |status| says(status, "Ready", "CaInvalid")).await?;
    world.apply(&authority(&pem).to_string()).await?;
    until(&world, |status| ready(&status.conditions)).await?;
    world.secrets(world.home.name()).delete(SECRET, &kube::api::DeleteParams::default()).await?;
    until(&world, |status| says(status, "Ready", "CredentialsMissing")).await?;
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_stop_nobody_while_those_before_them_work() -> Result<()> {
    let (world, own) = world("own-wrong", "  driftInterval: 1h\n", false).await?;
    put(&world, json!({"client-secret": "not this one"})).await?;
    let told = until(&world, |status| says(status, "Ready", "CredentialsRefused")).await?;
    let (_, _, message) = condition(&told, "Ready").unwrap_or_default();
    assert!(message.contains(SECRET) && message.contains("go on being used"), "{message}");
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    ask(&world, "now").await?;
    put(&world, json!({"client-secret": own.first.1})).await?;
    until(&world, |status| ready(&status.conditions)).await?;
    let done = until_rotated(&world, "now").await?;
    assert_ne!(credential(&done).id, Some(own.first.0), "what was asked for meanwhile is done then");
    Ok(())
}

#[tokio::test]
async fn an_expiring_credential_is_reported_ahead_once_and_no_longer_than_it_is_true() -> Result<()> {
    let (world, own) = world("own-expiry", "  driftInterval: 2s\n", false).await?;
    let end = in_days(3);
    let (id, value) = own.further(&world, Some(end)).await?;
    put(&world, json!({"client-secret": value})).await?;
    let unclear = until(&world, |status| says(status, "CredentialsExpiring", "CredentialsExpiring")).await?;
    assert_eq!((credential(&unclear).id, credential(&unclear).candidates), (None, Some(2)), "nothing tells which");
    let (status, _, message) = condition(&unclear, "CredentialsExpiring").unwrap_or_default();
    assert!(status == "True" && message.contains("of which it is not known which one"), "{message}");
    assert!(message.contains("extapp.dev/rotate="), "{message}");
    let metric = async || {
        let shown = world.metric("extapp_server_credential_expiry_timestamp_seconds").await?;
        Ok((Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs_f64(shown) == end).then_some(()))
    };
    eventually("the metric tells the time", LIMIT, metric).await?;
    world.sweeps(3).await?;
    until_noted(&world, "CredentialsExpiring", "of which it is not known which one").await?;
    assert_eq!(notes(&world, "CredentialsExpiring").await?.len(), 1, "it is told once");

    // Once it is known which one it is, so is how long it lives: this one has most of its life before it.
    own.remove(&world, &own.first.0).await?;
    let clear = until_in_use(&world, &id).await?;
    assert_eq!(credential(&clear).expires_at.map(|time| time.0), Some(end));
    until(&world, |status| condition(status, "CredentialsExpiring").is_none()).await?;
    eventually("the metric tells the time", LIMIT, metric).await?;

    ask(&world, "now").await?;
    let gone = async || {
        let text = world.operator.metrics().await?;
        Ok((!text.contains("extapp_server_credential_expiry_timestamp_seconds{")).then_some(()))
    };
    eventually("the new one does not expire", LIMIT, gone).await
}

#[tokio::test]
async fn rotation_on_request_replaces_the_secret_while_applications_keep_being_registered() -> Result<()> {
    let (world, own) = world("own-rotate", "", false).await?;
    let home = world.home.name();
    let registering = async {
        for number in 0..12 {
            world.confidential(home, &format!("app-{number}"), "").await?;
            world.until_ready(&format!("app-{number}")).await?;
        }
        Ok::<_, Error>(())
    };
    let rotating = async {
        ask(&world, "first").await?;
        until_rotated(&world, "first").await
    };
    let (registered, rotated) = tokio::join!(registering, rotating);
    registered?;
    let first = credential(&rotated?);
    let keys = secret(&world).await?;
    assert_eq!(keys["previous-client-secret"], own.first.1);
    assert!(works(&world, &own, &keys["client-secret"]).await? && works(&world, &own, &own.first.1).await?);
    let previous = first.previous.clone().context("the one before is named")?;
    assert_eq!(previous.id.as_ref(), Some(&own.first.0));
    let rotated_at = first.rotated_at.clone().context("a time")?.0;
    assert_eq!(previous.remove_at.0.duration_since(rotated_at), SignedDuration::from_hours(1));
    assert_eq!(own.secrets(&world).await?.len(), 2);

    // The next request does not wait for the overlap, and the one after it has none.
    ask(&world, "second").await?;
    let second = credential(&until_rotated(&world, "second").await?);
    assert!(!works(&world, &own, &own.first.1).await?, "the first is removed");
    assert_eq!(second.previous.and_then(|previous| previous.id), first.id);
    let patch = Patch::Merge(json!({"spec": {"credentialsOverlap": "0s"}}));
    world.servers().patch("cloud", &PatchParams::default(), &patch).await?;
    ask(&world, "third").await?;
    let third = until(&world, |status| {
        credential(status).request.as_deref() == Some("third") && credential(status).previous.is_none()
    });
    let third = credential(&third.await?);
    assert_eq!(own.secrets(&world).await?, [third.id.context("it is known")?]);
    let keys = secret(&world).await?;
    assert!(!keys.contains_key("previous-client-secret") && works(&world, &own, &keys["client-secret"]).await?);
    assert_eq!(keys["client-id"], own.id);
    world.confidential(home, "last", "").await?;
    world.until_ready("last").await?;
    Ok(())
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_its_own_rotation_it_is_left_with_one_secret_that_works() -> Result<()> {
    let (mut world, own) = world("own-crash", "  credentialsOverlap: 0s\n  driftInterval: 1h\n", true).await?;
    let gate = world.gate.clone().context("the gate")?;
    let mut reached = Vec::new();
    for stop in [Stop::Before, Stop::After] {
        // More than there are: claim, new secret, publication, removal, and the key of the one before.
        for effect in 1..=6 {
            let request = format!("{stop:?}-{effect}");
            gate.arm(effect, stop);
            ask(&world, &request).await?;
            let stopped = tokio::select! {
                stopped = gate.reached(LIMIT) => stopped.map(|()| true),
                settled = settle(&world, &own, &request) => settled.map(|()| false),
            };
            if stopped? {
                reached.push((stop, effect));
                world.operator.kill9()?;
                gate.thaw();
                world.operator.restart().await?;
            }
            gate.thaw();
            settle(&world, &own, &request).await.map_err(|error| Error::new(format!("{request}: {error}")))?;
        }
    }
    let _ = writeln!(std::io::stderr(), "the operator died at {reached:?}");
    assert_eq!(reached.len(), 10, "five effects, before and after each: {reached:?}");
    Ok(())
}

/// One secret at the server, which the Secret holds, and nothing under way.
async fn settle(world: &World, own: &OwnClient, request: &str) -> Result<()> {
    let rested = async || {
        let status = world.servers().get("cloud").await?.status.unwrap_or_default();
        let (told, at_server, keys) = (credential(&status), own.secrets(world).await?, secret(world).await?);
        let object = world.secrets(world.home.name()).get(SECRET).await?;
        let checks = [
            ("it is carried out", told.request.as_deref() == Some(request)),
            ("the server is Ready", ready(&status.conditions)),
            ("the only secret is the one in use", at_server.len() == 1 && told.id.as_ref() == at_server.first()),
            ("nothing is under way", !object.annotations().contains_key("extapp.dev/rotating")),
            (
                "nothing is left of the one before",
                told.previous.is_none() && !keys.contains_key("previous-client-secret"),
            ),
            ("it works", works(world, own, &keys["client-secret"]).await?),
        ];
        let missing: Vec<&str> = checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect();
        if missing.is_empty() {
            Ok(Some(()))
        } else {
            Err(Error::new(format!("not so: {missing:?}; {told:?} {at_server:?}")))
        }
    };
    eventually("the rotation has come to rest", LIMIT, rested).await
}

#[tokio::test]
async fn a_token_endpoint_that_lags_is_waited_for() -> Result<()> {
    let (world, _own) = world("own-lag", "", false).await?;
    let busy =
        json!({"match": {"method": "POST", "path_contains": "/connect/token"}, "times": 1000, "action": "status:503"});
    world.cloud.faults(&busy).await?;
    let before = secret(&world).await?;
    ask(&world, "now").await?;
    until(&world, |status| says(status, "CredentialsRotated", "Proving")).await?;
    assert_eq!(secret(&world).await?, before, "nothing that is not proven is published");
    world.cloud.countermand().await?;
    until_rotated(&world, "now").await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_gives_no_further_secret_is_told_of_once_and_nothing_changes() -> Result<()> {
    let (world, own) = world("own-refused", "", false).await?;
    let before = secret(&world).await?;
    let refuse =
        json!({"match": {"method": "POST", "path_contains": "GenerateSecret"}, "times": 1, "action": "status:400"});
    world.cloud.faults(&refuse).await?;
    ask(&world, "now").await?;
    let told = until(&world, |status| credential(status).request.as_deref() == Some("now")).await?;
    let (status, reason, message) = condition(&told, "CredentialsRotated").unwrap_or_default();
    assert!(status == "False" && reason == "RejectedByServer" && message.contains("no further secret"), "{message}");
    assert_eq!((secret(&world).await?, own.secrets(&world).await?.len()), (before, 1));
    until_noted(&world, "RejectedByServer", "no further secret").await?;
    ask(&world, "again").await?;
    until_rotated(&world, "again").await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_that_may_be_anybodys_is_never_removed_and_is_named() -> Result<()> {
    let (world, own) = world("own-unknown", "  credentialsOverlap: 0s\n  driftInterval: 2s\n", false).await?;
    let (further, _) = own.further(&world, None).await?;
    ask(&world, "now").await?;
    let done = until_rotated(&world, "now").await?;
    let (_, _, message) = condition(&done, "CredentialsRotated").unwrap_or_default();
    assert!(message.contains(&format!("{}, {further}", own.first.0)), "{message}");
    until_noted(&world, "Rotated", &format!("{}, {further}", own.first.0)).await?;
    until(&world, |status| credential(status).previous.is_none()).await?;
    world.sweeps(2).await?;
    assert_eq!(own.secrets(&world).await?.len(), 3, "none was removed");
    assert!(works(&world, &own, &own.first.1).await?);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_was_set_back_by_hand_is_used_and_not_removed_at_the_server() -> Result<()> {
    let (world, own) = world("own-back", "", false).await?;
    ask(&world, "first").await?;
    let first = credential(&until_rotated(&world, "first").await?);
    put(&world, json!({"client-secret": own.first.1})).await?;
    until(&world, |status| credential(status).candidates == Some(2)).await?;
    let patch = Patch::Merge(json!({"spec": {"credentialsOverlap": "0s"}}));
    world.servers().patch("cloud", &PatchParams::default(), &patch).await?;
    ask(&world, "second").await?;
    until_noted(&world, "SecretUnidentified", &first.id.clone().unwrap_or_default()).await?;
    until_rotated(&world, "second").await?;
    assert_eq!(own.secrets(&world).await?.len(), 3);
    assert!(works(&world, &own, &own.first.1).await?, "somebody set it back for a reason");
    Ok(())
}

#[tokio::test]
async fn an_intent_that_was_sealed_with_the_secret_before_is_still_recognised() -> Result<()> {
    let (mut world, own) = world("own-seal", "", true).await?;
    let gate = world.gate.clone().context("the gate")?;
    gate.order(Effect::Register, 1, Stop::After);
    world.confidential(world.home.name(), "worker", "").await?;
    gate.reached(LIMIT).await?;
    world.operator.kill9()?;
    let (_, value) = own.further(&world, None).await?;
    put(&world, json!({"client-secret": value, "previous-client-secret": own.first.1})).await?;
    own.remove(&world, &own.first.0).await?;
    gate.thaw();
    world.operator.restart().await?;
    let home = world.home.name();
    eventually("worker is complete", LIMIT, async || complete(&world, home, "worker").await).await?;
    assert_eq!(gate.count_of(Effect::Register), 1);
    Ok(())
}

#[tokio::test]
async fn a_rollback_is_possible_although_what_is_kept_was_sealed_with_a_secret_that_is_gone() -> Result<()> {
    let (mut world, own) = world("own-kept", "  credentialsOverlap: 1s\n", false).await?;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    let home = world.home.name().to_owned();
    let first = world.secret(&home, "worker-oauth").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    rotation::until_rotated(&world, "worker", "asked").await?;
    for request in ["one", "two"] {
        ask(&world, request).await?;
        until_rotated(&world, request).await?;
        let gone = async || Ok((!secret(&world).await?.contains_key("previous-client-secret")).then_some(()));
        eventually("the secret before has ended", LIMIT, gone).await?;
    }
    assert!(!works(&world, &own, &own.first.1).await?);
    world.operator.restart().await?;
    world.annotate("worker", ROLLBACK, "back").await?;
    let back = async || Ok((world.secret(&home, "worker-oauth").await? == first).then_some(()));
    eventually("the secret before is published again", LIMIT, back).await?;
    assert!(world.works(&first).await?);
    Ok(())
}

#[tokio::test]
async fn no_value_of_a_secret_is_said_anywhere() -> Result<()> {
    let (world, own) = world("own-canary", "  credentialsOverlap: 0s\n", false).await?;
    ask(&world, "now").await?;
    until_rotated(&world, "now").await?;
    let values = [own.first.1.clone(), secret(&world).await?["client-secret"].clone()];
    let events: Api<Event> = Api::namespaced(world.client.clone(), world.home.name());
    let said: Value = json!([
        world.operator.logs(),
        world.operator.metrics().await?,
        world.servers().get("cloud").await?,
        world.secrets(world.home.name()).get(SECRET).await?.metadata,
        events.list(&ListParams::default()).await?.items,
    ]);
    let said = said.to_string();
    for value in values {
        let quoted = json!(value).to_string();
        assert!(!said.contains(quoted.trim_matches('"')), "a value is shown");
    }
    Ok(())
}
