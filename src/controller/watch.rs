//! The only place where watches are built. Each one has its own backoff and keeps its errors to itself, so that a watch
//! that fails delays no other; an object that cannot be decoded is passed over and counted.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::stream::{BoxStream, SelectAll, Stream, StreamExt};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use crate::metrics::{Kind, Metrics};

/// Where `kubectl apply` keeps the manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Counts the watches that have not listed once.
#[derive(Default)]
pub struct Synced {
    waiting: AtomicUsize,
    ready: Arc<AtomicBool>,
    notify: tokio::sync::Notify,
}

impl Synced {
    /// Set once every watch has listed.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.ready.clone()
    }

    fn expect_one(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    fn one_listed(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ready.store(true, Ordering::Release);
            self.notify.notify_waiters();
        }
    }

    /// Returns once every watch that was built has listed.
    pub async fn wait(&self) {
        loop {
            let notified = self.notify.notified();
            if self.ready.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }
}

/// A kind that lives in namespaces and can be watched.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// What every watch needs.
#[derive(Clone)]
pub struct Watching {
    pub client: Client,
    /// Empty: all namespaces.
    pub namespaces: Vec<String>,
    pub metrics: Arc<Metrics>,
    pub synced: Arc<Synced>,
}

impl Watching {
    /// Events of one kind in the watched namespaces, without managed fields and without errors.
    pub fn namespaced<K>(&self, kind: &'static str, config: &watcher::Config) -> BoxStream<'static, Event<K>>
    where
        K: Namespaced,
    {
        let one = |api: Api<DeserializeGuard<K>>| self.events(kind, api, config.clone());
        let events = if self.namespaces.is_empty() {
            one(Api::all(self.client.clone()))
        } else {
            let each = self.namespaces.iter().map(|name| one(Api::namespaced(self.client.clone(), name)));
            merged(each.collect())
        };
        self.first_list_counted(events)
    }

    /// Events of one object. Readiness does not wait for it.
    pub fn named<K>(&self, kind: &'static str, namespace: &str, name: &str) -> BoxStream<'static, Event<K>>
    where
        K: Namespaced,
    {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        self.events(kind, Api::namespaced(self.client.clone(), namespace), config)
    }

    /// Events of one kind of the whole cluster.
    pub fn cluster<K>(&self, kind: &'static str, config: &watcher::Config) -> BoxStream<'static, Event<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let events = self.events(kind, Api::all(self.client.clone()), config.clone());
        self.first_list_counted(events)
    }

    fn first_list_counted<K: Send + 'static>(
        &self,
        events: BoxStream<'static, Event<K>>,
    ) -> BoxStream<'static, Event<K>> {
        self.synced.expect_one();
        let synced = self.synced.clone();
        let mut listed = false;
        events
            .inspect(move |event| {
                if matches!(event, Event::InitDone) && !std::mem::replace(&mut listed, true) {
                    synced.one_listed();
                }
            })
            .boxed()
    }

    fn events<K>(
        &self,
        kind: &'static str,
        api: Api<DeserializeGuard<K>>,
        config: watcher::Config,
    ) -> BoxStream<'static, Event<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let metrics = self.metrics.clone();
        watcher::watcher(api, config)
            .default_backoff()
            .filter_map(move |event| {
                let kept = match event {
                    Ok(event) => decoded(event, kind, &metrics),
                    Err(error) => {
                        metrics.watch_failures.get_or_create(&Kind { kind }).inc();
                        warn!(kind, %error, "a watch failed; it is tried again");
                        None
                    }
                };
                async move { kept }
            })
            .boxed()
    }
}

fn decoded<K: Resource<DynamicType = ()>>(
    event: Event<DeserializeGuard<K>>,
    kind: &'static str,
    metrics: &Metrics,
) -> Option<Event<K>> {
    let open = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            // What nobody here looks at is not kept: it is as large as all the rest.
            let meta = object.meta_mut();
            meta.managed_fields = None;
            if let Some(annotations) = &mut meta.annotations {
                annotations.remove(LAST_APPLIED);
            }
            Some(object)
        }
        Err(invalid) => {
            metrics.undecodable.get_or_create(&Kind { kind }).inc();
            let name = invalid.metadata.name.unwrap_or_default();
            warn!(kind, name, error = %invalid.error, "an object cannot be read and is passed over");
            None
        }
    };
    match event {
        Event::Apply(object) => open(object).map(Event::Apply),
        Event::InitApply(object) => open(object).map(Event::InitApply),
        Event::Delete(object) => open(object).map(Event::Delete),
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}

/// One stream out of one per namespace. A store is filled once, when every namespace has listed; what a namespace lists
/// again later comes as single changes, so that it does not push the others out.
fn merged<K>(streams: Vec<BoxStream<'static, Event<K>>>) -> BoxStream<'static, Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + Send + 'static,
{
    let mut waiting = streams.len();
    let mut known: Vec<HashMap<ObjectRef<K>, K>> = streams.iter().map(|_| HashMap::new()).collect();
    let mut fresh: Vec<HashMap<ObjectRef<K>, K>> = streams.iter().map(|_| HashMap::new()).collect();
    let mut listed = vec![false; streams.len()];
    let tagged: SelectAll<_> = streams
        .into_iter()
        .enumerate()
        .map(|(index, stream)| stream.map(move |event| (index, event)).boxed())
        .collect();
    let mut begun = false;
    let events = tagged.flat_map(move |(index, event)| {
        let mut out = Vec::new();
        if !std::mem::replace(&mut begun, true) {
            out.push(Event::Init);
        }
        match event {
            Event::Init => fresh[index].clear(),
            Event::InitApply(object) => {
                fresh[index].insert(ObjectRef::from_obj(&object), object);
            }
            Event::InitDone => {
                let now = std::mem::take(&mut fresh[index]);
                let before = std::mem::replace(&mut known[index], now);
                let first = !std::mem::replace(&mut listed[index], true);
                if first {
                    waiting -= 1;
                    if waiting == 0 {
                        // Only now: what a namespace lost while the others were listed must not be in it.
                        out.extend(known.iter().flat_map(HashMap::values).cloned().map(Event::InitApply));
                        out.push(Event::InitDone);
                    }
                } else if waiting == 0 {
                    out.extend(differences(before, &known[index]));
                }
            }
            Event::Apply(object) => {
                known[index].insert(ObjectRef::from_obj(&object), object.clone());
                if waiting == 0 {
                    out.push(Event::Apply(object));
                }
            }
            Event::Delete(object) => {
                known[index].remove(&ObjectRef::from_obj(&object));
                if waiting == 0 {
                    out.push(Event::Delete(object));
                }
            }
        }
        futures::stream::iter(out)
    });
    events.boxed()
}

/// What a second list of a namespace brought, one by one.
fn differences<K>(before: HashMap<ObjectRef<K>, K>, now: &HashMap<ObjectRef<K>, K>) -> Vec<Event<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let unchanged = |(key, object): &(&ObjectRef<K>, &K)| {
        before.get(*key).is_some_and(|old| old.resource_version() == object.resource_version())
    };
    let mut events: Vec<Event<K>> =
        now.iter().filter(|entry| !unchanged(entry)).map(|(_, object)| Event::Apply(object.clone())).collect();
    events.extend(before.into_iter().filter(|(key, _)| !now.contains_key(key)).map(|(_, old)| Event::Delete(old)));
    events
}

/// What is only watched, and never reconciled by itself: runs until the process ends.
pub async fn drive<K: Debug + Send>(
    events: impl Stream<Item = Event<K>> + Send,
    mut each: impl FnMut(&Event<K>) + Send,
) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        each(&event);
    }
    debug!("a watch ended");
}
