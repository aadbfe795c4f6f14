//! Who uses a secret decides when the one before it goes, and is restarted where the spec asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use extapp::api::ROTATE;
use extapp::api::external_application::{CredentialState, CredentialStatus, ExternalApplicationStatus};
use extapp::controller::rbac::Extras;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::world::{Keys, LIMIT, Variations, World};
use crate::support::{Context, Result, eventually};

const WATCHING: Extras = Extras { watch_consumers: true, restart_workloads: false };
const RESTARTING: Extras = Extras { watch_consumers: true, restart_workloads: true };
const SECRET: &str = "worker-oauth";

async fn world(prefix: &str, extras: Extras, rotation: &str) -> Result<World> {
    let world = World::with(prefix, Variations { extras, ..Variations::default() }).await?;
    world.confidential(world.home.name(), "worker", &format!("  rotation: {rotation}\n")).await?;
    world.until_ready("worker").await?;
    Ok(world)
}

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.client.clone(), world.home.name())
}

/// What a workload's pods are made of.
fn container(by_variable: bool) -> Value {
    let container = json!({"name": "main", "image": "none"});
    let mut spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
    if by_variable {
        let variable =
            json!([{"name": "CLIENT_SECRET", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "client-secret"}}}]);
        spec["containers"][0]["env"] = variable;
    } else {
        spec["volumes"] = json!([{"name": "credentials", "projected": {"sources": [{"secret": {"name": SECRET}}]}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "credentials", "mountPath": "/credentials"}]);
    }
    spec
}

/// What a kubelet says of a pod that it has started.
async fn started(client: &Client, namespace: &str, pod: &str, phase: &str, at: jiff::Timestamp) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let status = json!({
        "phase": phase, "startTime": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "conditions": [{"type": "Ready", "status": if phase == "Running" { "True" } else { "False" }}]
    });
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(pod, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// A pod that nobody but the test has made, and that has run for a minute.
async fn pod(world: &World, name: &str, by_variable: bool, phase: &str) -> Result<()> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": container(by_variable)});
    pods(world).create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let minute_ago = extapp::clock::now() - Duration::from_mins(1);
    started(&world.client, world.home.name(), name, phase, minute_ago).await
}

async fn rotate(world: &World, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {ROTATE: value}}}));
    world.applications(world.home.name()).patch("worker", &PatchParams::default(), &patch).await?;
    Ok(())
}

fn retiring(status: &ExternalApplicationStatus) -> Option<&CredentialStatus> {
    status.credentials.iter().find(|credential| credential.state == CredentialState::Retiring)
}

async fn until_held_by(world: &World, count: i32) -> Result<()> {
    let held =
        move |_: &_, status: &ExternalApplicationStatus| retiring(status).is_some_and(|old| old.pods == Some(count));
    world
        .until(world.home.name(), "worker", held)
        .await
        .context(format!("the old secret is held by {count} pods"))
        .map(drop)
}

/// Waits until a pod that is started now is known to be started after the rotation: what the API server says of either is
/// whole seconds, and of two in the same second a pod may hold what was before.
async fn until_the_second_of_the_rotation_is_over(world: &World) -> Result<()> {
    let over = async || {
        let status = world.applications(world.home.name()).get("worker").await?.status.unwrap_or_default();
        let published = extapp::domain::consumers::published(&status).context("nothing is published")?;
        Ok((extapp::clock::now() >= published + jiff::SignedDuration::from_secs(1)).then_some(()))
    };
    eventually("the second of the rotation is over", LIMIT, over).await
}

async fn until_gone(world: &World) -> Result<()> {
    let gone = |_: &_, status: &ExternalApplicationStatus| {
        retiring(status).is_none() && status.rotation.as_ref().is_some_and(|rotation| rotation.last_time.is_some())
    };
    world.until(world.home.name(), "worker", gone).await.context("the old secret is gone").map(drop)
}

async fn keys(world: &World) -> Result<Keys> {
    world.secret(world.home.name(), SECRET).await
}

async fn notes(world: &World, reason: &str) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), world.home.name());
    let mut found = events.list(&ListParams::default().fields(&format!("reason={reason}"))).await?.items;
    found.sort_by_key(|event| event.event_time.clone());
    Ok(found.into_iter().filter_map(|event| event.note).collect())
}

async fn until_said(world: &World, reason: &str, what: &str) -> Result<()> {
    let said = async || Ok(notes(world, reason).await?.iter().any(|note| note.contains(what)).then_some(()));
    eventually(&format!("an Event {reason} says {what:?}"), LIMIT, said).await
}

#[tokio::test]
async fn the_old_secret_goes_with_the_last_pod_that_holds_it_and_not_before() -> Result<()> {
    let world = world("rolled", WATCHING, "{overlap: 1h, retire: WhenConsumersRolled}").await?;
    let old = keys(&world).await?;
    pod(&world, "by-file", false, "Running").await?;
    pod(&world, "by-variable", true, "Running").await?;
    pod(&world, "finished", true, "Succeeded").await?;
    rotate(&world, "1").await?;
    until_held_by(&world, 2).await?;
    assert!(world.works(&old).await?);
    assert!(world.metric("extapp_pods_holding_old_secrets").await? >= 2.0);

    // One that was started since has the new secret.
    pod(&world, "fresh", true, "Pending").await?;
    started(&world.client, world.home.name(), "fresh", "Running", extapp::clock::now() + Duration::from_secs(1))
        .await?;
    pods(&world).delete("by-file", &DeleteParams::default()).await?;
    until_held_by(&world, 1).await?;
    assert!(world.works(&old).await?);

    pods(&world).delete("by-variable", &DeleteParams::default()).await?;
    until_gone(&world).await?;
    assert!(!world.works(&old).await?, "the old secret was removed at the server");
    assert!(world.works(&keys(&world).await?).await?);
    until_said(&world, "SecretRetired", "removed secret").await?;
    let said = notes(&world, "SecretRetired").await?;
    assert!(said.len() == 1 && !said[0].contains("pods"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn without_any_pod_the_old_secret_goes_once_kubelets_had_time_to_tell() -> Result<()> {
    let world = world("unused", WATCHING, "{overlap: 1h, retire: WhenConsumersRolled}").await?;
    rotate(&world, "1").await?;
    until_gone(&world).await?;
    assert!(world.works(&keys(&world).await?).await?);
    Ok(())
}

#[tokio::test]
async fn at_the_end_of_the_overlap_the_old_secret_goes_and_the_event_says_how_many_pods_hold_it() -> Result<()> {
    let world = world("deadline", WATCHING, "{overlap: 15s, retire: WhenConsumersRolled}").await?;
    let old = keys(&world).await?;
    pod(&world, "one", true, "Running").await?;
    pod(&world, "two", false, "Running").await?;
    rotate(&world, "1").await?;
    until_held_by(&world, 2).await?;
    assert!(world.works(&old).await?);
    until_gone(&world).await?;
    assert!(!world.works(&old).await?);
    until_said(&world, "SecretRetired", "2 running pods").await
}

/// Starts the pods of a namespace as long as it lives, unless it is told to pause.
struct Kubelet {
    paused: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Kubelet {
    fn start(world: &World) -> Self {
        let (client, namespace) = (world.client.clone(), world.home.name().to_owned());
        let paused = Arc::new(AtomicBool::new(false));
        let holds = paused.clone();
        let task = tokio::spawn(async move {
            let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                if holds.load(Ordering::Acquire) {
                    continue;
                }
                for pod in pods.list(&ListParams::default()).await.into_iter().flatten() {
                    let waits = pod.status.as_ref().is_none_or(|status| status.start_time.is_none());
                    if waits && pod.metadata.deletion_timestamp.is_none() {
                        // It may be gone by now.
                        let _ = started(&client, &namespace, &pod.name_any(), "Running", extapp::clock::now()).await;
                    }
                }
            }
        });
        Self { paused, task }
    }

    fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn workload(world: &World, kind: &str, name: &str) -> Result<()> {
    let labels = json!({"app": name});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": container(true)}}
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = name.into();
    }
    world.apply(&serde_json::to_string(&object)?).await
}

fn of<K>(world: &World) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(world.client.clone(), world.home.name())
}

/// The credential that a workload was restarted for, and how often its spec was written.
async fn restarted_for<K>(api: &Api<K>, name: &str) -> Result<(Option<String>, i64)>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    let object = serde_json::to_value(api.get(name).await?)?;
    let annotation = object["spec"]["template"]["metadata"]["annotations"]["credential.extapp.dev/worker"].clone();
    Ok((annotation.as_str().map(str::to_owned), object["metadata"]["generation"].as_i64().unwrap_or_default()))
}

async fn until_available(world: &World, name: &str) -> Result<()> {
    let api = of::<Deployment>(world);
    let available =
        async || Ok((api.get(name).await?.status.unwrap_or_default().available_replicas == Some(1)).then_some(()));
    eventually(&format!("{name} is available"), LIMIT, available).await
}

async fn until_restarted(world: &World, name: &str) -> Result<()> {
    let api = of::<Deployment>(world);
    let restarted = async || Ok(restarted_for(&api, name).await?.0.map(drop));
    eventually(&format!("{name} is restarted"), LIMIT, restarted).await
}

async fn current(world: &World) -> Result<String> {
    let status = world.applications(world.home.name()).get("worker").await?.status.unwrap_or_default();
    let active = status.credentials.into_iter().find(|credential| credential.state == CredentialState::Active);
    Ok(active.context("there is no current secret")?.id)
}

/// Waits until everything was restarted for the current secret, and gives back which that is.
async fn until_all_restarted(world: &World) -> Result<String> {
    let all = |_: &_, status: &ExternalApplicationStatus| {
        let active = status.credentials.iter().find(|credential| credential.state == CredentialState::Active);
        let restarted = status.rotation.as_ref().and_then(|rotation| rotation.restarted.as_ref());
        active.is_some_and(|active| Some(&active.id) == restarted)
    };
    world.until(world.home.name(), "worker", all).await.context("everything is restarted")?;
    current(world).await
}

#[tokio::test]
async fn workloads_are_restarted_in_turn_and_one_that_is_not_well_is_left_alone_until_it_is() -> Result<()> {
    let targets = "[{kind: Deployment, name: first}, {kind: Deployment, name: halted}, {kind: Deployment, name: later}, {kind: StatefulSet, name: stateful}, {kind: DaemonSet, name: daemon}]";
    let rotation = format!("{{overlap: 1h, retire: WhenConsumersRolled, restart: {targets}}}");
    let world = world("restarts", RESTARTING, &rotation).await?;
    let kubelet = Kubelet::start(&world);
    for (kind, name) in
        [("Deployment", "first"), ("Deployment", "halted"), ("StatefulSet", "stateful"), ("DaemonSet", "daemon")]
    {
        workload(&world, kind, name).await?;
    }
    until_available(&world, "first").await?;
    until_available(&world, "halted").await?;
    let stateful = of::<StatefulSet>(&world);
    let ready = async || {
        Ok((stateful.get("stateful").await?.status.unwrap_or_default().available_replicas == Some(1)).then_some(()))
    };
    eventually("the StatefulSet is available", LIMIT, ready).await?;
    let pause = |paused: bool| Patch::Merge(json!({"spec": {"paused": paused}}));
    of::<Deployment>(&world).patch("halted", &PatchParams::default(), &pause(true)).await?;
    kubelet.pause(true);
    let old = keys(&world).await?;
    rotate(&world, "1").await?;
    until_restarted(&world, "first").await?;
    until_said(&world, "RestartLeft", "Deployment halted is left alone: it is paused").await?;
    until_said(&world, "RestartLeft", "Deployment later is left alone: there is none of that name").await?;
    assert_eq!(restarted_for(&stateful, "stateful").await?.0, None, "the first has not rolled out");
    until_the_second_of_the_rotation_is_over(&world).await?;
    kubelet.pause(false);
    let done = async || Ok(restarted_for(&of::<DaemonSet>(&world), "daemon").await?.0.map(drop));
    eventually("the last of those that are well is restarted", LIMIT, done).await?;
    assert!(restarted_for(&stateful, "stateful").await?.0.is_some());
    assert_eq!(restarted_for(&of::<Deployment>(&world), "halted").await?.0, None);
    until_held_by(&world, 1).await?;
    assert!(world.works(&old).await?, "the paused one still has it");

    // What was left alone is looked at again when its pods change.
    of::<Deployment>(&world).patch("halted", &PatchParams::default(), &pause(false)).await?;
    workload(&world, "Deployment", "later").await?;
    let current = until_all_restarted(&world).await?;
    until_gone(&world).await?;
    assert!(!world.works(&old).await? && world.works(&keys(&world).await?).await?);
    for name in ["first", "halted", "later"] {
        assert_eq!(restarted_for(&of::<Deployment>(&world), name).await?.0.as_ref(), Some(&current), "{name}");
    }
    let order = notes(&world, "Restarted").await?;
    let names: Vec<&str> = order.iter().filter_map(|note| note.split(' ').nth(2)).collect();
    assert_eq!(names[..3], ["first", "stateful", "daemon"], "{order:?}");
    assert_eq!(names.len(), 5, "each once: {order:?}");
    Ok(())
}

#[tokio::test]
async fn an_operator_that_was_killed_in_the_middle_restarts_nothing_twice() -> Result<()> {
    let rotation = "{overlap: 1h, restart: [{kind: Deployment, name: first}, {kind: Deployment, name: second}]}";
    let mut world = world("killed-restart", RESTARTING, rotation).await?;
    let kubelet = Kubelet::start(&world);
    for name in ["first", "second"] {
        workload(&world, "Deployment", name).await?;
        until_available(&world, name).await?;
    }
    kubelet.pause(true);
    rotate(&world, "1").await?;
    until_restarted(&world, "first").await?;
    world.operator.kill9()?;
    world.operator.restart().await?;
    until_the_second_of_the_rotation_is_over(&world).await?;
    kubelet.pause(false);
    until_restarted(&world, "second").await?;
    world.operator.kill9()?;
    world.operator.restart().await?;
    let current = until_all_restarted(&world).await?;
    for name in ["first", "second"] {
        let (credential, generation) = restarted_for(&of::<Deployment>(&world), name).await?;
        assert_eq!((credential.as_ref(), generation), (Some(&current), 2), "{name}: made, and restarted once");
    }
    Ok(())
}

#[tokio::test]
async fn without_the_flags_nothing_about_pods_is_asked_and_what_needs_them_is_refused() -> Result<()> {
    let world = world("unflagged", Extras::default(), "{overlap: 1h}").await?;
    let denied = Api::<Pod>::namespaced(world.plane.operator_client().await?, world.home.name());
    assert!(denied.list(&ListParams::default()).await.is_err(), "the operator may not see pods");
    pod(&world, "holder", true, "Running").await?;
    rotate(&world, "1").await?;
    let rotated = |_: &_, status: &ExternalApplicationStatus| retiring(status).is_some_and(|old| old.pods.is_none());
    world.until(world.home.name(), "worker", rotated).await?;
    assert!(world.works(&keys(&world).await?).await?);
    let home = world.home.name();
    world.confidential(home, "rolled", "  rotation: {retire: WhenConsumersRolled}\n").await?;
    let message = world.until_refused(home, "rolled", "NotSupported").await?;
    assert!(message.contains("--watch-consumers"), "{message}");
    world.confidential(home, "restarts", "  rotation: {restart: [{kind: Deployment, name: some}]}\n").await?;
    let message = world.until_refused(home, "restarts", "NotSupported").await?;
    assert!(message.contains("--restart-workloads"), "{message}");
    assert!(world.metric("extapp_watch_failures").await?.abs() < f64::EPSILON);
    Ok(())
}

#[tokio::test]
async fn the_annotation_for_reloader_is_on_the_secret_before_and_after_a_rotation() -> Result<()> {
    let world = World::new("reloader").await?;
    let output = "  outputs: [{name: worker-oauth, annotations: {reloader.stakater.com/match: 'true'}}]\n";
    world.confidential(world.home.name(), "worker", output).await?;
    world.until_ready("worker").await?;
    let annotation = async || -> Result<(Option<String>, Option<String>)> {
        let secret = world.secrets(world.home.name()).get(SECRET).await?;
        let version = secret.resource_version();
        Ok((secret.annotations().get("reloader.stakater.com/match").cloned(), version))
    };
    let (before, version) = annotation().await?;
    assert_eq!(before.as_deref(), Some("true"));
    rotate(&world, "1").await?;
    let rotated = |_: &_, status: &ExternalApplicationStatus| retiring(status).is_some();
    world.until(world.home.name(), "worker", rotated).await?;
    let (after, later) = annotation().await?;
    assert_eq!(after.as_deref(), Some("true"));
    assert_ne!(version, later, "which Reloader takes for a reason to restart");
    Ok(())
}
