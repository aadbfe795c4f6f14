//! Starting and ending: the watches, the controllers, the events, the endpoints.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span, warn};

use super::consumers::ConsumerIndex;
use super::events::Events;
use super::owned::OwnedIndex;
use super::rollouts::Rollouts;
use super::servers::Servers;
use super::watch::{Synced, Watching};
use super::{Context, Settings, application, authorization_server, role_assignment};
use crate::metrics::{Kind, Metrics};
use crate::server::budget::BudgetRegistry;

mod watches;

/// How long one pass may take; longer means that something hangs. Less than [`crate::domain::intent::HOLD`]: when another
/// process settles an intent, its writer is no longer at work.
pub const PASS: Duration = Duration::from_secs(40);
/// How long changes of an application's presence are gathered before a server counts anew.
const COUNTING: Duration = Duration::from_secs(2);

/// A running operator.
pub struct Operator {
    pub context: Arc<Context>,
    /// Set once every watch has listed.
    pub ready: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Operator {
    /// Returns when everything has ended: after the token was cancelled, or because a part ended by itself.
    pub async fn ended(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Starts everything. Passes begin once every watch has listed. Cancelling the token ends it: passes under way are
/// finished, nothing new begins.
pub fn start(client: Client, settings: Settings, metrics: Arc<Metrics>, stop: &CancellationToken) -> Operator {
    let synced = Arc::new(Synced::default());
    let watching = Watching {
        client: client.clone(),
        namespaces: settings.namespaces.clone(),
        metrics: metrics.clone(),
        synced: synced.clone(),
    };
    let (events, writer) =
        Events::new(client.clone(), metrics.clone(), settings.clock.clone(), settings.identity.as_str().into());
    let (application_store, applications) = reflector::store();
    let (server_store, servers) = reflector::store();
    let (resource_store, resources) = reflector::store();
    let (permit_store, permits) = reflector::store();
    let (namespace_store, namespaces) = reflector::store();
    let (wake_applications, woken_applications) = unbounded();
    let (wake_servers, woken_servers) = unbounded();
    let (wake_permits, woken_permits) = unbounded();
    let turns = turns(settings.concurrency);
    let context = Arc::new(Context {
        client,
        metrics,
        events,
        applications: application_store,
        authorization_servers: server_store,
        resources: resource_store,
        role_assignments: permit_store,
        namespaces: namespace_store,
        owned: OwnedIndex::default(),
        consumers: ConsumerIndex::default(),
        rollouts: Rollouts::default(),
        servers: Servers::new(turns, wake_applications.clone(), wake_permits.clone(), settings.clock.clone()),
        budgets: BudgetRegistry::default(),
        retries: super::retry::Retries::default(),
        issuer: super::issuer::Issuer::default(),
        held: Mutex::default(),
        suspects: Mutex::default(),
        told: Mutex::default(),
        empty: Mutex::default(),
        missing: Mutex::default(),
        stale_counts: Mutex::default(),
        wake_applications,
        wake_servers,
        wake_permits,
        settings,
    });
    let tasks = TaskTracker::new();
    let spawn = Spawner { tasks: &tasks, stop };
    spawn.until_stopped("events", writer);
    watches::applications(&spawn, &watching, &context, applications);
    watches::servers(&spawn, &watching, &context, servers);
    watches::permits(&spawn, &watching, &context, permits);
    watches::secondary(&spawn, &watching, &context, resources, namespaces);
    spawn.until_stopped("counts", count(context.clone()));
    let kind = Primary { kind: "ExternalApplication", synced: synced.clone(), context: context.clone() };
    spawn.controller(kind.clone(), context.applications.clone(), woken_applications, application::reconcile);
    let permits = Primary { kind: "RoleAssignment", ..kind.clone() };
    spawn.controller(permits, context.role_assignments.clone(), woken_permits, role_assignment::reconcile);
    let kind = Primary { kind: "AuthorizationServer", ..kind };
    spawn.controller(kind, context.authorization_servers.clone(), woken_servers, authorization_server::reconcile);
    Operator { ready: synced.flag(), context, tasks }
}

/// How many passes may be at one server at once: one that hangs may hold up most of them, never all.
fn turns(concurrency: u16) -> usize {
    let concurrency = usize::from(concurrency.max(1));
    concurrency - concurrency / 4
}

/// Has servers look at their counts, once for many changes, and sees to it that no turn is left unused.
async fn count(context: Arc<Context>) {
    loop {
        tokio::time::sleep(COUNTING).await;
        for key in context.take_stale_counts() {
            context.wake_server(&key);
        }
        for server in context.servers.all() {
            server.turns.call_again();
            server.permit_turns.call_again();
        }
    }
}

/// What a controller needs beside its streams.
#[derive(Clone)]
struct Primary {
    kind: &'static str,
    synced: Arc<Synced>,
    context: Arc<Context>,
}

pub(super) struct Spawner<'a> {
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Spawner<'_> {
    /// Runs until the operator ends. A part that ends by itself ends the operator: half of one is worse than none.
    fn until_stopped(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // Also where a part ends by a panic.
            let _ends_the_others = stop.clone().drop_guard();
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => error!(part = name, "a part of the operator ended by itself"),
            }
        });
    }

    fn controller<K, F, R>(
        &self,
        primary: Primary,
        store: Store<K>,
        woken: UnboundedReceiver<ObjectRef<K>>,
        reconcile: F,
    ) where
        K: Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + Sync
            + Unpin
            + 'static,
        F: Fn(Arc<K>, Arc<Context>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<(Action, &'static str), application::Error>> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // A pass that panics takes its controller with it.
            let _ends_the_others = stop.clone().drop_guard();
            tokio::select! {
                () = stop.cancelled() => return,
                // Passes rest on more than their own kind: everything is listed before the first.
                () = primary.synced.wait() => {}
            }
            let context = primary.context.clone();
            let ending = stop.clone();
            let kind = primary.kind;
            // What wakes an object comes through one queue, filled by the watches, so that no watch waits for a pass.
            Controller::for_stream(futures::stream::pending(), store)
                .reconcile_on(woken)
                .with_config(Config::default().concurrency(context.settings.concurrency.max(1)))
                .graceful_shutdown_on(async move { ending.cancelled().await })
                .run(
                    move |object, context| measured(kind, object, context, reconcile.clone()),
                    |_, _, _| Action::requeue(Duration::from_secs(5)),
                    context,
                )
                .for_each(async |_| {})
                .await;
            if !stop.is_cancelled() {
                error!(kind, "a controller ended by itself");
            }
        });
    }
}

/// Times a pass, bounds it, and turns its failures into another try.
async fn measured<K, F, R>(
    kind: &'static str,
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: F,
) -> Result<Action, Infallible>
where
    K: Resource<DynamicType = ()>,
    F: Fn(Arc<K>, Arc<Context>) -> R,
    R: Future<Output = Result<(Action, &'static str), application::Error>>,
{
    let meta = object.meta();
    let (uid, name, namespace) =
        (meta.uid.clone().unwrap_or_default(), object.name_any(), object.namespace().unwrap_or_default());
    // Not `name`: in JSON that is the span's own, and an object must not have a key twice.
    let span = info_span!("pass", kind, namespace, object = name, generation = meta.generation);
    let running = context.metrics.reconciles_running.get_or_create(&Kind { kind }).clone();
    running.inc();
    let began = tokio::time::Instant::now();
    let pass = tokio::time::timeout(PASS, reconcile(object.clone(), context.clone()));
    let result = pass.instrument(span.clone()).await.unwrap_or(Err(application::Error::Slow));
    running.dec();
    let (action, outcome) = match result {
        Ok(done) => done,
        Err(failure) => {
            let gone =
                matches!(&failure, application::Error::Kubernetes(error) if super::kubernetes::is_not_found(error));
            if !gone {
                span.in_scope(|| warn!(%failure, "a pass failed"));
            }
            (context.retries.action(&uid, crate::domain::observed::Retry::Backoff), "failed")
        }
    };
    context.metrics.reconciled(kind, outcome, began.elapsed());
    Ok(action)
}
