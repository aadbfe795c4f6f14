//! The operator: watches, and for each kind the pipeline observe → validate → plan → execute → report.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::api::{ApiResource, AuthorizationServer, ExternalApplication, RoleAssignment};
use crate::clock::Clock;
use crate::domain::consumers::Features;
use crate::domain::intent::Intent;
use crate::domain::observed::Held;
use crate::domain::registration::{ClientId, SecretId};
use crate::metrics::{Metrics, ServerLabel};
use crate::server::budget::BudgetRegistry;

pub mod application;
pub mod authorization_server;
pub mod changes;
pub mod consumers;
pub mod events;
pub mod gauges;
pub mod issuer;
pub mod kept;
pub mod kubernetes;
pub mod owned;
pub mod presence;
pub mod rbac;
pub mod references;
pub mod retry;
pub mod role_assignment;
pub mod rollouts;
pub mod run;
pub mod servers;
pub mod tenants;
pub mod turns;
pub mod vault;
pub mod watch;
pub mod workloads;

use consumers::ConsumerIndex;
use events::Events;
use issuer::Issuer;
use kubernetes::Kubernetes;
use owned::OwnedIndex;
use retry::Retries;
use rollouts::Rollouts;
use servers::{Server, ServerKey, Servers};

/// How the operator was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names this process in intents and events: two processes must not share it, unless one replaced the other.
    pub identity: String,
    /// Empty: all namespaces.
    pub namespaces: Vec<String>,
    /// How many passes run at once, for each kind.
    pub concurrency: u16,
    /// Hosts that may be reached over plain http.
    pub insecure_hosts: Vec<String>,
    /// How long a server may take for one answer.
    pub request_timeout: Duration,
    /// A limit on requests per minute for every organization, instead of the deployment's own.
    pub requests_per_minute: Option<u32>,
    /// What the operator was allowed to look after beside its own objects.
    pub features: Features,
    /// Times of day, for everything that is decided.
    pub clock: Clock,
}

/// Everything that passes share.
pub struct Context {
    pub client: Client,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
    pub events: Events,
    pub applications: Store<ExternalApplication>,
    pub authorization_servers: Store<AuthorizationServer>,
    pub resources: Store<ApiResource>,
    pub role_assignments: Store<RoleAssignment>,
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
    pub owned: OwnedIndex,
    pub consumers: ConsumerIndex,
    pub rollouts: Rollouts,
    pub servers: Servers,
    pub budgets: BudgetRegistry,
    pub retries: Retries,
    /// Who issues the tokens of the cluster's service accounts.
    pub issuer: Issuer,
    /// Secrets that a server gave out and that no object carries yet, by the application's UID.
    held: Mutex<HashMap<String, (ClientId, Held)>>,
    /// A digest of the status that this process wrote last for each application and assignment (by UID): the cache may be older.
    told: Mutex<HashMap<String, u64>>,
    /// Since when searches for the outcome of an intent (by its time) have found nothing, by the application's UID.
    empty: Mutex<HashMap<String, (Timestamp, Timestamp)>>,
    /// Secrets that an object carries and that no read has shown, by the application's UID, and since when.
    missing: Mutex<HashMap<String, (SecretId, Timestamp)>>,
    /// Applications (by UID) that a sweep found to differ.
    suspects: Mutex<HashSet<String>>,
    /// Servers whose counts are to be brought up to date.
    stale_counts: Mutex<HashSet<ServerKey>>,
    wake_applications: UnboundedSender<ObjectRef<ExternalApplication>>,
    wake_servers: UnboundedSender<ObjectRef<AuthorizationServer>>,
    wake_permits: UnboundedSender<ObjectRef<RoleAssignment>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub fn kubernetes(&self) -> Kubernetes<'_> {
        Kubernetes { client: &self.client, metrics: &self.metrics }
    }

    pub fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// The secret that this application's registration got and that still has to be written.
    pub fn held(&self, uid: &str, client_id: Option<&ClientId>) -> Option<Held> {
        locked(&self.held).get(uid).filter(|(id, _)| Some(id) == client_id).map(|(_, held)| held.clone())
    }

    pub fn hold(&self, uid: &str, client_id: &ClientId, held: Held) {
        locked(&self.held).insert(uid.to_owned(), (client_id.clone(), held));
    }

    pub fn let_go(&self, uid: &str) {
        locked(&self.held).remove(uid);
    }

    /// Whether this process wrote another status than this since the cache was filled, as far as it knows.
    pub fn told_otherwise(&self, uid: &str, digest: u64) -> bool {
        locked(&self.told).get(uid).is_some_and(|told| *told != digest)
    }

    pub fn tell(&self, uid: &str, digest: u64) {
        locked(&self.told).insert(uid.to_owned(), digest);
    }

    /// Nothing is said of this object any more.
    pub fn say_no_more(&self, uid: &str) {
        locked(&self.told).remove(uid);
    }

    /// All is as it should be: what was only kept to find out is forgotten.
    pub fn at_rest(&self, uid: &str) {
        locked(&self.empty).remove(uid);
        locked(&self.missing).remove(uid);
    }

    pub fn suspect(&self, uid: &str) {
        locked(&self.suspects).insert(uid.to_owned());
    }

    pub fn is_suspect(&self, uid: &str) -> bool {
        locked(&self.suspects).contains(uid)
    }

    pub fn clear_suspicion(&self, uid: &str) {
        locked(&self.suspects).remove(uid);
    }

    /// Has an application looked at now. A full queue cannot happen; a closed one means that the process ends.
    pub fn wake_application(&self, name: &str, namespace: &str) {
        let _ = self.wake_applications.unbounded_send(ObjectRef::new(name).within(namespace));
    }

    /// Has an application looked at now, where there is one.
    pub fn wake(&self, app: Option<ObjectRef<ExternalApplication>>) {
        if let Some(app) = app {
            let _ = self.wake_applications.unbounded_send(app);
        }
    }

    /// Has an application looked at in its turn: people's own changes go first.
    pub fn look_later(&self, app: &ExternalApplication) {
        self.servers.get(&server_key(app)).turns.later(ObjectRef::from_obj(app));
    }

    pub fn wake_server(&self, key: &ServerKey) {
        let _ = self.wake_servers.unbounded_send(ObjectRef::new(&key.name).within(&key.namespace));
    }

    /// Has a server's counts brought up to date soon; many changes make one pass.
    pub fn count_anew(&self, key: ServerKey) {
        locked(&self.stale_counts).insert(key);
    }

    pub fn take_stale_counts(&self) -> Vec<ServerKey> {
        locked(&self.stale_counts).drain().collect()
    }

    /// The applications that name this server.
    pub fn applications_of(&self, key: &ServerKey) -> Vec<Arc<ExternalApplication>> {
        self.applications.state().into_iter().filter(|app| server_key(app) == *key).collect()
    }

    /// Every server of this process that may speak to the same organization, this one included: a registration there is
    /// the same whichever of them names it. One of which nothing is known yet may.
    pub fn neighbours(&self, key: &ServerKey) -> Vec<Arc<Server>> {
        let own = self.servers.get(key);
        let elsewhere = |other: &Arc<Server>| match (own.facts(), other.facts()) {
            (Some(own), Some(other)) => !own.same_organization(&other),
            _ => false,
        };
        // One that no pass has come to yet is unknown, not absent.
        for server in self.authorization_servers.state() {
            self.servers.get(&authorization_server::key_of(&server));
        }
        self.servers.all().into_iter().filter(|other| other.key == *key || !elsewhere(other)).collect()
    }

    /// When a search for the outcome of this intent began to find nothing.
    pub fn empty_since(&self, uid: &str, intent: &Intent, now: Timestamp) -> Timestamp {
        let mut empty = locked(&self.empty);
        let entry = empty.entry(uid.to_owned()).or_insert((intent.at, now));
        if entry.0 != intent.at {
            *entry = (intent.at, now);
        }
        entry.1
    }

    /// Since when a secret that an object carries has been missing at the server, as far as this process has seen.
    pub fn missing_since(&self, uid: &str, secret: &SecretId, now: Timestamp) -> Timestamp {
        let mut missing = locked(&self.missing);
        let entry = missing.entry(uid.to_owned()).or_insert_with(|| (secret.clone(), now));
        if entry.0 != *secret {
            *entry = (secret.clone(), now);
        }
        entry.1
    }

    /// Has those applications of a server looked at that keep something for a rotation.
    pub fn look_at_those_that_keep(&self, key: &ServerKey) {
        for app in self.applications_of(key) {
            if self.owned.of(&app).values().any(|object| object.kept) {
                self.look_later(&app);
            }
        }
    }

    /// Has every application of a server looked at, each in its turn, and all that is permitted to them.
    pub fn look_at_all_of(&self, key: &ServerKey) {
        for app in self.applications_of(key) {
            self.look_later(&app);
        }
        for object in self.permits_at(key) {
            self.permit_later(&object);
        }
    }

    /// Has an assignment looked at now.
    pub fn wake_permit(&self, object: &RoleAssignment) {
        let _ = self.wake_permits.unbounded_send(ObjectRef::from_obj(object));
    }

    /// Has an assignment looked at in its turn. One that names no server has no turn to wait for.
    pub fn permit_later(&self, object: &RoleAssignment) {
        match self.server_of(object) {
            Some(key) => self.servers.get(&key).permit_turns.later(ObjectRef::from_obj(object)),
            None => self.wake_permit(object),
        }
    }

    /// The application that an assignment names.
    pub fn application_of(&self, object: &RoleAssignment) -> Option<Arc<ExternalApplication>> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        self.applications.get(&ObjectRef::new(&object.spec.application_ref.name).within(namespace))
    }

    /// The server at which an assignment has its effect: its application's, else the one that it was last at.
    pub fn server_of(&self, object: &RoleAssignment) -> Option<ServerKey> {
        if let Some(app) = self.application_of(object) {
            return Some(server_key(&app));
        }
        let last = object.status.as_ref()?.server_ref.as_ref()?;
        let own = || object.metadata.namespace.clone().unwrap_or_default();
        Some(ServerKey { namespace: last.namespace.clone().unwrap_or_else(own), name: last.name.clone() })
    }

    /// The assignments that have their effect at this server.
    pub fn permits_at(&self, key: &ServerKey) -> Vec<Arc<RoleAssignment>> {
        self.role_assignments
            .state()
            .into_iter()
            .filter(|object| self.server_of(object).as_ref() == Some(key))
            .collect()
    }

    /// The assignments of an application.
    pub fn permits_of(&self, app: &ExternalApplication) -> Vec<Arc<RoleAssignment>> {
        let names_it = |object: &Arc<RoleAssignment>| {
            object.metadata.namespace == app.metadata.namespace
                && Some(&object.spec.application_ref.name) == app.metadata.name.as_ref()
        };
        self.role_assignments.state().into_iter().filter(names_it).collect()
    }

    /// A server is gone: its applications are told.
    pub fn forget_server(&self, key: &ServerKey) {
        self.servers.forget(key);
        self.metrics.last_sweep.remove(&ServerLabel { server: key.to_string() });
        self.look_at_all_of(key);
    }

    /// Forgets all that is only kept for one application.
    pub fn forget_application(&self, app: &ExternalApplication) {
        let Some(uid) = app.metadata.uid.as_deref() else { return };
        self.retries.forget(uid);
        self.let_go(uid);
        self.clear_suspicion(uid);
        self.say_no_more(uid);
        self.at_rest(uid);
        self.consumers.forget(app);
        self.wake(self.rollouts.forget(uid, &ObjectRef::from_obj(app)));
        let key = server_key(app);
        let server = self.servers.get(&key);
        server.release(uid);
        server.turns.forget(&ObjectRef::from_obj(app));
        server.rotations().forget(uid);
        self.count_anew(key);
    }
}

/// An application as people name it: `namespace/name`.
pub fn full_name(app: &ExternalApplication) -> String {
    let meta = &app.metadata;
    format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

/// The server that an application names.
pub fn server_key(app: &ExternalApplication) -> ServerKey {
    let reference = &app.spec.server_ref;
    let own = || app.metadata.namespace.clone().unwrap_or_default();
    ServerKey { namespace: reference.namespace.clone().unwrap_or_else(own), name: reference.name.clone() }
}
