//! Which pods use which Secrets, for applications that wait until no pod has a replaced secret any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde::Deserialize;

use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::domain::consumers::{Consumer, used};

/// What is kept of a pod, and all that is ever decoded into memory for longer than a moment: there are many, and each says
/// a lot. Of ConfigMaps it tells nothing: they never carry a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Pod")]
pub struct PodUse {
    metadata: ObjectMeta,
    secrets: Box<[Box<str>]>,
    started_at: Option<Timestamp>,
    finished: bool,
    ready: bool,
}

impl From<Pod> for PodUse {
    fn from(pod: Pod) -> Self {
        let consumer = Consumer::of(&pod);
        let secrets = pod.spec.as_ref().map(used).unwrap_or_default().into_iter();
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = |condition: &k8s_openapi::api::core::v1::PodCondition| {
            condition.type_ == "Ready" && condition.status == "True"
        };
        Self {
            secrets: secrets
                .filter(|(kind, _)| *kind == OutputKind::Secret)
                .map(|(_, name)| name.into_boxed_str())
                .collect(),
            started_at: consumer.started_at,
            finished: consumer.finished,
            ready: conditions.into_iter().flatten().any(ready),
            metadata: ObjectMeta {
                name: pod.metadata.name,
                namespace: pod.metadata.namespace,
                uid: pod.metadata.uid,
                resource_version: pod.metadata.resource_version,
                ..ObjectMeta::default()
            },
        }
    }
}

impl Resource for PodUse {
    type DynamicType = ();
    type Scope = <Pod as Resource>::Scope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> std::borrow::Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> std::borrow::Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A pod that uses at least one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    uid: Box<str>,
    secrets: Box<[Box<str>]>,
    started_at: Option<Timestamp>,
    finished: bool,
    ready: bool,
}

type Namespace = Box<str>;
type Name = Box<str>;
/// An application, by name.
type App = ObjectRef<ExternalApplication>;

#[derive(Default)]
struct State {
    pods: HashMap<Namespace, HashMap<Name, Entry>>,
    /// What a list that is not complete yet has shown.
    listing: HashMap<Namespace, HashMap<Name, Entry>>,
    listed: bool,
    /// Who waits for pods that use one of these Secrets of its namespace.
    waiting: HashMap<Namespace, HashMap<App, BTreeSet<String>>>,
}

/// An index over the pods that use Secrets. Without `--watch-consumers` it stays empty and knows nothing.
#[derive(Default)]
pub struct ConsumerIndex(Mutex<State>);

impl ConsumerIndex {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pods that use one of these Secrets of a namespace; `None` while that is not known.
    pub fn of(&self, namespace: &str, secrets: &BTreeSet<String>) -> Option<Vec<Consumer>> {
        let state = self.state();
        let uses = |entry: &Entry| entry.secrets.iter().any(|name| secrets.contains(&**name));
        let pods = state.pods.get(namespace).into_iter().flatten().filter(|(_, entry)| uses(entry));
        let consumer = |(name, entry): (&Name, &Entry)| Consumer {
            pod: name.to_string(),
            uid: entry.uid.to_string(),
            started_at: entry.started_at,
            finished: entry.finished,
        };
        state.listed.then(|| pods.map(consumer).collect())
    }

    /// Has an application told of every change of the pods that use one of these Secrets, and of no other.
    pub fn wait_for(&self, app: &ExternalApplication, secrets: BTreeSet<String>) {
        let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
        self.state().waiting.entry(namespace.into()).or_default().insert(ObjectRef::from_obj(app), secrets);
    }

    /// It need not be told any more.
    pub fn forget(&self, app: &ExternalApplication) {
        let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
        let mut state = self.state();
        if let Some(waiting) = state.waiting.get_mut(namespace) {
            waiting.remove(&ObjectRef::from_obj(app));
            if waiting.is_empty() {
                state.waiting.remove(namespace);
            }
        }
    }

    /// Takes in one event, and gives back the applications that wait for it.
    pub fn take(&self, event: &Event<PodUse>) -> Vec<App> {
        let mut state = self.state();
        match event {
            Event::Init => {
                state.listing.clear();
                Vec::new()
            }
            Event::InitApply(pod) => {
                if let Some((namespace, name, entry)) = entry(pod) {
                    state.listing.entry(namespace).or_default().insert(name, entry);
                }
                Vec::new()
            }
            Event::InitDone => {
                state.pods = std::mem::take(&mut state.listing);
                state.listed = true;
                // What changed while nobody watched is not worth telling apart: it is rare.
                state.waiting.values().flat_map(HashMap::keys).cloned().collect()
            }
            Event::Apply(pod) => state.applied(pod),
            Event::Delete(pod) => state.removed(pod),
        }
    }
}

impl State {
    fn applied(&mut self, pod: &PodUse) -> Vec<App> {
        let Some((namespace, name, entry)) = entry(pod) else { return Vec::new() };
        let before = self.pods.entry(namespace.clone()).or_default().insert(name, entry.clone());
        if before.as_ref() == Some(&entry) { Vec::new() } else { self.concerned(&namespace, &entry) }
    }

    /// Another pod of that name, which was made since, stays.
    fn removed(&mut self, pod: &PodUse) -> Vec<App> {
        let Some((namespace, name, _)) = entry(pod) else { return Vec::new() };
        let Some(pods) = self.pods.get_mut(&namespace) else { return Vec::new() };
        let same = pods.get(&name).is_some_and(|there| Some(&*there.uid) == pod.metadata.uid.as_deref());
        let Some(gone) = same.then(|| pods.remove(&name)).flatten() else { return Vec::new() };
        if pods.is_empty() {
            self.pods.remove(&namespace);
        }
        self.concerned(&namespace, &gone)
    }

    fn concerned(&self, namespace: &str, entry: &Entry) -> Vec<App> {
        let uses = |secrets: &BTreeSet<String>| entry.secrets.iter().any(|name| secrets.contains(&**name));
        let waiting = self.waiting.get(namespace).into_iter().flatten();
        waiting.filter(|(_, secrets)| uses(secrets)).map(|(app, _)| app.clone()).collect()
    }
}

/// What is kept of a pod; nothing of one that uses no Secret.
fn entry(pod: &PodUse) -> Option<(Namespace, Name, Entry)> {
    let entry = Entry {
        uid: pod.metadata.uid.as_deref()?.into(),
        secrets: pod.secrets.clone(),
        started_at: pod.started_at,
        finished: pod.finished,
        ready: pod.ready,
    };
    let name = pod.metadata.name.as_deref()?.into();
    (!pod.secrets.is_empty()).then_some((pod.metadata.namespace.as_deref()?.into(), name, entry))
}

#[cfg(test)]
mod tests;
