//! What is watched, and who is woken by it. Every event is taken into its store first.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};

use super::Spawner;
use crate::api::external_application::OutputKind;
use crate::api::{ApiResource, AuthorizationServer, ExternalApplication, RoleAssignment};
use crate::controller::changes::{self, Changes};
use crate::controller::consumers::PodUse;
use crate::controller::references::References;
use crate::controller::servers::ServerKey;
use crate::controller::watch::{Watching, drive};
use crate::controller::{Context, authorization_server, presence, role_assignment};
use crate::domain::observed::was_settled;
use crate::domain::outputs::MANAGED_BY;

type Stream<K> = BoxStream<'static, Event<K>>;

pub fn applications(
    spawn: &Spawner<'_>,
    watching: &Watching,
    context: &Arc<Context>,
    applications: reflector::store::Writer<ExternalApplication>,
) {
    let events = watching.namespaced::<ExternalApplication>("ExternalApplication", &watcher::Config::default());
    let shared = context.clone();
    let mut listed = presence::Listed::default();
    let (gone, orphans) = unbounded();
    let events = events.inspect(move |event| {
        if let Some(app) = presence::vanished(event) {
            let _ = gone.unbounded_send(app.clone());
        }
        presence::come_and_gone(event, &mut listed, &shared);
    });
    spawn.until_stopped("orphans", presence::clean_up(orphans, context.clone()));
    let shared = context.clone();
    let (mut changes, mut matters) = (Changes::new(changes::acted_on), Changes::new(role_assignment::watch::matters));
    let each = move |event: &Event<ExternalApplication>| {
        for app in changes.take(event).iter().filter_map(|reference| shared.applications.get(reference)) {
            changed(&app, &shared);
        }
        let mut told = matters.take(event);
        if let Event::Delete(app) = event {
            told.push(ObjectRef::from_obj(app));
        }
        role_assignment::watch::applications_changed(&told, &shared);
    };
    spawn.until_stopped("applications", filled(applications, events, each));
}

pub fn servers(
    spawn: &Spawner<'_>,
    watching: &Watching,
    context: &Arc<Context>,
    servers: reflector::store::Writer<AuthorizationServer>,
) {
    let events = watching.namespaced::<AuthorizationServer>("AuthorizationServer", &watcher::Config::default());
    let shared = context.clone();
    let mut changes = Changes::new(authorization_server::acted_on);
    let mut references = References::new(context.clone(), watching.clone(), spawn.tasks.clone(), spawn.stop.clone());
    let each = move |event: &Event<AuthorizationServer>| {
        references.take(event);
        for reference in changes.take(event) {
            let namespace = reference.namespace.unwrap_or_default();
            shared.wake_server(&ServerKey { namespace, name: reference.name });
        }
        if let Event::Delete(server) = event {
            shared.forget_server(&authorization_server::key_of(server));
        }
    };
    spawn.until_stopped("servers", filled(servers, events, each));
}

pub fn permits(
    spawn: &Spawner<'_>,
    watching: &Watching,
    context: &Arc<Context>,
    permits: reflector::store::Writer<RoleAssignment>,
) {
    let events = watching.namespaced::<RoleAssignment>("RoleAssignment", &watcher::Config::default());
    let shared = context.clone();
    let mut changes = Changes::new(role_assignment::watch::acted_on);
    let each = move |event: &Event<RoleAssignment>| {
        for object in changes.take(event).iter().filter_map(|reference| shared.role_assignments.get(reference)) {
            role_assignment::watch::changed(&object, &shared);
        }
        match event {
            Event::Apply(object) => role_assignment::watch::noticed(object, &shared),
            Event::Delete(object) => role_assignment::watch::gone(object, &shared),
            Event::InitDone => role_assignment::watch::listed(&shared),
            Event::Init | Event::InitApply(_) => {}
        }
    };
    spawn.until_stopped("roleassignments", filled(permits, events, each));
}

/// What a person changed is looked at now. What is as the last report left it, as at a start, has time.
fn changed(app: &ExternalApplication, context: &Context) {
    if was_settled(app) && app.metadata.deletion_timestamp.is_none() {
        context.look_later(app);
    } else {
        context.wake_application(&app.name_any(), &app.namespace().unwrap_or_default());
    }
}

/// Fills a store, and tells of each event after the store has taken it in.
async fn filled<K>(
    writer: reflector::store::Writer<K>,
    events: impl futures::Stream<Item = Event<K>> + Send + 'static,
    each: impl FnMut(&Event<K>) + Send,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    let events = reflector::reflector(writer, events.map(Ok::<_, watcher::Error>));
    drive(events.filter_map(async |event| event.ok()), each).await;
}

/// What is watched beside the kinds that are reconciled.
pub fn secondary(
    spawn: &Spawner<'_>,
    watching: &Watching,
    context: &Arc<Context>,
    resources: reflector::store::Writer<ApiResource>,
    namespaces: reflector::store::Writer<PartialObjectMeta<Namespace>>,
) {
    if context.settings.features.watch_consumers {
        consumers(spawn, watching, context);
    }
    let config = watcher::Config::default();
    let ours = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    let secrets: Stream<PartialObjectMeta<Secret>> = watching.namespaced("Secret", &ours);
    spawn.until_stopped("secrets", owned(secrets, OutputKind::Secret, context.clone()));
    let maps: Stream<PartialObjectMeta<ConfigMap>> = watching.namespaced("ConfigMap", &ours);
    spawn.until_stopped("configmaps", owned(maps, OutputKind::ConfigMap, context.clone()));
    let shared = context.clone();
    let each = move |event: &Event<ApiResource>| catalogue_changed(event, &shared);
    spawn.until_stopped("apiresources", filled(resources, watching.namespaced("ApiResource", &config), each));
    let shared = context.clone();
    let listed = watching.synced.flag();
    let mut changes = Changes::new(changes::labels);
    let each = move |event: &Event<PartialObjectMeta<Namespace>>| {
        for namespace in changes.take(event) {
            // At the start every application is looked at anyway.
            if listed.load(Ordering::Acquire) {
                consent_changed(&namespace.name, &shared);
            }
        }
    };
    spawn.until_stopped("namespaces", filled(namespaces, watching.cluster("Namespace", &config), each));
}

/// How long changes of pods are gathered before an application is told: what a rollout is made of comes in swarms, and the
/// workload says a moment later what its pods did.
const GATHERING: Duration = Duration::from_secs(2);

/// The pods that use Secrets.
fn consumers(spawn: &Spawner<'_>, watching: &Watching, context: &Arc<Context>) {
    let events: Stream<PodUse> = watching.namespaced("Pod", &watcher::Config::default());
    let shared = context.clone();
    let (tell, mut told) = unbounded();
    let each = move |event: &Event<PodUse>| {
        for app in shared.consumers.take(event) {
            let _ = tell.unbounded_send(app);
        }
    };
    spawn.until_stopped("pods", drive(events, each));
    let shared = context.clone();
    spawn.until_stopped("consumers", async move {
        while let Some(first) = told.next().await {
            tokio::time::sleep(GATHERING).await;
            let mut apps = HashSet::from([first]);
            while let Some(Some(more)) = told.next().now_or_never() {
                apps.insert(more);
            }
            for app in apps {
                shared.wake(Some(app));
            }
        }
    });
}

async fn owned<K>(events: Stream<PartialObjectMeta<K>>, kind: OutputKind, context: Arc<Context>)
where
    K: std::fmt::Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource,
{
    drive(events, |event| {
        for owner in context.owned.take(kind, event) {
            context.wake_application(&owner.name, &owner.namespace);
        }
    })
    .await;
}

/// A catalogue object that somebody changed or removed is set right by its server.
fn catalogue_changed(event: &Event<ApiResource>, context: &Context) {
    let (Event::Apply(object) | Event::Delete(object)) = event else { return };
    let key =
        ServerKey { namespace: object.namespace().unwrap_or_default(), name: object.spec.server_ref.name.clone() };
    context.count_anew(key);
}

/// Labels decide about consent: the applications of the namespace look again.
fn consent_changed(namespace: &str, context: &Context) {
    for app in context.applications.state() {
        if app.metadata.namespace.as_deref() == Some(namespace) {
            context.look_later(&app);
        }
    }
    for object in context.role_assignments.state() {
        if object.metadata.namespace.as_deref() == Some(namespace) {
            context.permit_later(&object);
        }
    }
}
