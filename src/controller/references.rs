//! What servers are reached with: the Secrets and ConfigMaps that their specs name. Each is watched by itself, by its name
//! and by metadata alone, as long as a server names it: no other object's metadata, and nobody's data, comes into memory.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Context;
use super::authorization_server::key_of;
use super::servers::ServerKey;
use super::watch::{Namespaced, Watching, drive};
use crate::api::AuthorizationServer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Secret,
    ConfigMap,
}

/// One object that a spec names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reference {
    kind: Kind,
    namespace: String,
    name: String,
}

fn references(server: &AuthorizationServer) -> Vec<Reference> {
    let namespace = server.namespace().unwrap_or_default();
    let to = |kind, name: &str| Reference { kind, namespace: namespace.clone(), name: name.to_owned() };
    let credentials = server.spec.credentials_ref.as_ref().map(|reference| to(Kind::Secret, &reference.name));
    let certificates = server.spec.ca_ref.as_ref().map(|reference| to(Kind::ConfigMap, &reference.name));
    credentials.into_iter().chain(certificates).collect()
}

/// Which servers name which objects. Pure.
#[derive(Default)]
struct Users {
    by_server: HashMap<ServerKey, Vec<Reference>>,
    listing: HashSet<ServerKey>,
}

impl Users {
    /// Takes in one event of the servers.
    fn take(&mut self, event: &Event<AuthorizationServer>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(server) => {
                self.listing.insert(key_of(server));
                self.by_server.insert(key_of(server), references(server));
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing);
                self.by_server.retain(|key, _| listed.contains(key));
            }
            Event::Apply(server) => {
                self.by_server.insert(key_of(server), references(server));
            }
            Event::Delete(server) => {
                self.by_server.remove(&key_of(server));
            }
        }
    }

    fn named(&self) -> HashSet<&Reference> {
        self.by_server.values().flatten().collect()
    }

    fn of(&self, reference: &Reference) -> Vec<ServerKey> {
        let names = |(_, references): &(&ServerKey, &Vec<Reference>)| references.contains(reference);
        self.by_server.iter().filter(names).map(|(key, _)| key.clone()).collect()
    }
}

/// The watches.
pub struct References {
    context: Arc<Context>,
    watching: Watching,
    tasks: TaskTracker,
    stop: CancellationToken,
    users: Arc<Mutex<Users>>,
    running: HashMap<Reference, CancellationToken>,
}

impl References {
    pub fn new(context: Arc<Context>, watching: Watching, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { context, watching, tasks, stop, users: Arc::default(), running: HashMap::new() }
    }

    /// Takes in one event of the servers: watches begin and end with what they name.
    pub fn take(&mut self, event: &Event<AuthorizationServer>) {
        let users = self.users.clone();
        let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
        users.take(event);
        if matches!(event, Event::Init | Event::InitApply(_)) {
            return;
        }
        let named = users.named();
        self.running.retain(|reference, running| {
            let stays = named.contains(reference);
            if !stays {
                running.cancel();
            }
            stays
        });
        for reference in named {
            if !self.running.contains_key(reference) {
                let running = self.begin(reference);
                self.running.insert(reference.clone(), running);
            }
        }
    }

    fn begin(&self, reference: &Reference) -> CancellationToken {
        let running = self.stop.child_token();
        match reference.kind {
            Kind::Secret => self.spawn::<PartialObjectMeta<Secret>>("Secret", reference, &running),
            Kind::ConfigMap => self.spawn::<PartialObjectMeta<ConfigMap>>("ConfigMap", reference, &running),
        }
        running
    }

    fn spawn<K>(&self, kind: &'static str, reference: &Reference, running: &CancellationToken)
    where
        K: Namespaced,
    {
        let events = self.watching.named::<K>(kind, &reference.namespace, &reference.name);
        let (context, users) = (self.context.clone(), self.users.clone());
        let (ended, reference) = (running.clone(), reference.clone());
        let mut listed = false;
        let each = move |event: &Event<K>| {
            let version = match event {
                Event::Init => {
                    listed = false;
                    return;
                }
                Event::InitApply(object) | Event::Apply(object) => {
                    listed = true;
                    object.resource_version()
                }
                // It was listed, and nothing is to be said again.
                Event::InitDone if listed => return,
                Event::InitDone | Event::Delete(_) => None,
            };
            for key in users.lock().unwrap_or_else(PoisonError::into_inner).of(&reference) {
                let read = version.as_ref().is_some_and(|version| context.servers.get(&key).own.has_read(version));
                if !read {
                    context.wake_server(&key);
                }
            }
        };
        self.tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = drive(events, each) => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::server;

    fn named(name: &str, secret: &str) -> AuthorizationServer {
        let mut server = server();
        server.metadata.name = Some(name.into());
        server.spec.credentials_ref.as_mut().expect("a reference").name = secret.into();
        server
    }

    fn names(users: &Users) -> Vec<String> {
        let mut names: Vec<String> = users.named().into_iter().map(|reference| reference.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_server_names_is_watched_until_no_server_names_it() {
        let mut users = Users::default();
        users.take(&Event::Apply(named("one", "shared")));
        users.take(&Event::Apply(named("two", "shared")));
        assert_eq!(names(&users), ["shared"]);
        users.take(&Event::Apply(named("one", "own")));
        assert_eq!(names(&users), ["own", "shared"]);
        users.take(&Event::Delete(named("two", "shared")));
        assert_eq!(names(&users), ["own"]);
    }

    #[test]
    fn a_server_that_went_while_nobody_watched_names_nothing_any_more() {
        let mut users = Users::default();
        users.take(&Event::Apply(named("one", "first")));
        users.take(&Event::Init);
        users.take(&Event::InitApply(named("two", "second")));
        users.take(&Event::InitDone);
        assert_eq!(names(&users), ["second"]);
    }

    #[test]
    fn certificates_are_watched_like_credentials() {
        let mut server = named("one", "own");
        server.spec.ca_ref =
            Some(serde_json::from_value(serde_json::json!({"name": "authority"})).expect("a reference"));
        let kinds: Vec<Kind> = references(&server).into_iter().map(|reference| reference.kind).collect();
        assert_eq!(kinds, [Kind::Secret, Kind::ConfigMap]);
    }
}
