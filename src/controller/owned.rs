//! Which Secrets and ConfigMaps belong to which application: metadata of our own objects only, never their contents.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::domain::outputs::{CLIENT_ID, CREDENTIAL, VERSIONED};
use crate::domain::registration::ClientId;
use crate::domain::rotation::kept::KEPT;

/// One object of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub uid: String,
    pub resource_version: String,
    pub credential: Option<String>,
    pub client_id: Option<ClientId>,
    pub versioned: bool,
    /// Whether it is no output, but keeps what a rotation needs.
    pub kept: bool,
    pub created_at: Option<Timestamp>,
}

/// An application, as the owner reference of one of its objects names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

type Slot = (OutputKind, String);
/// A namespace and a UID: an owner reference of another namespace means nobody.
type Owning = (String, String);

impl Owner {
    fn owning(&self) -> Owning {
        (self.namespace.clone(), self.uid.clone())
    }
}

/// What one application has. A list: there are thousands of these, and most hold one object.
struct Holding {
    owner: String,
    objects: Vec<(Slot, Owned)>,
}

impl Holding {
    fn of(owner: &Owner) -> Self {
        Self { owner: owner.name.clone(), objects: Vec::with_capacity(1) }
    }

    /// Puts an object in its place; what was there before.
    fn put(&mut self, slot: Slot, object: Owned) -> Option<Owned> {
        if let Some((_, there)) = self.objects.iter_mut().find(|(there, _)| *there == slot) {
            return Some(std::mem::replace(there, object));
        }
        self.objects.push((slot, object));
        None
    }
}

#[derive(Default)]
struct State {
    by_owner: HashMap<Owning, Holding>,
    listing: HashMap<OutputKind, Vec<(Owner, String, Owned)>>,
}

/// An index over the objects that carry our label.
#[derive(Default)]
pub struct OwnedIndex(Mutex<State>);

impl OwnedIndex {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects of one application.
    pub fn of(&self, app: &ExternalApplication) -> BTreeMap<(OutputKind, String), Owned> {
        let meta = &app.metadata;
        let owning = (meta.namespace.clone().unwrap_or_default(), meta.uid.clone().unwrap_or_default());
        let state = self.state();
        state.by_owner.get(&owning).iter().flat_map(|holding| holding.objects.iter().cloned()).collect()
    }

    /// Takes in an object that we wrote, without waiting for its event: the next pass must see it, and the event is no
    /// reason to look again.
    pub fn wrote(&self, kind: OutputKind, meta: &ObjectMeta) {
        if let Some((owner, name, object)) = entry(meta) {
            self.state().applied(kind, &owner, name, object);
        }
    }

    /// Forgets an object that we removed.
    pub fn removed(&self, app: &ExternalApplication, kind: OutputKind, name: &str, object_uid: &str) {
        let (namespace, uid) = (app.metadata.namespace.clone(), app.metadata.uid.clone());
        let owning = (namespace.unwrap_or_default(), uid.unwrap_or_default());
        self.state().removed(&owning, &(kind, name.to_owned()), object_uid);
    }

    /// Takes in one event, and gives back the applications that should look.
    pub fn take(&self, kind: OutputKind, event: &Event<impl AsMeta>) -> Vec<Owner> {
        let mut state = self.state();
        match event {
            Event::Init => {
                state.listing.insert(kind, Vec::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(entry) = entry(object.meta()) {
                    state.listing.entry(kind).or_default().push(entry);
                }
                Vec::new()
            }
            Event::InitDone => state.relisted(kind),
            Event::Apply(object) => match entry(object.meta()) {
                Some((owner, name, object)) => state.applied(kind, &owner, name, object),
                None => Vec::new(),
            },
            Event::Delete(object) => match entry(object.meta()) {
                Some((owner, name, object)) => {
                    state.removed(&owner.owning(), &(kind, name), &object.uid);
                    vec![owner]
                }
                None => Vec::new(),
            },
        }
    }
}

impl State {
    fn applied(&mut self, kind: OutputKind, owner: &Owner, name: String, object: Owned) -> Vec<Owner> {
        let holding = self.by_owner.entry(owner.owning()).or_insert_with(|| Holding::of(owner));
        let version = object.resource_version.clone();
        let before = holding.put((kind, name), object);
        let changed = before.is_none_or(|before| before.resource_version != version);
        if changed { vec![owner.clone()] } else { Vec::new() }
    }

    /// Another object of that name, which was made since, stays.
    fn removed(&mut self, owning: &Owning, slot: &Slot, object_uid: &str) {
        let Some(holding) = self.by_owner.get_mut(owning) else { return };
        holding.objects.retain(|(there, object)| there != slot || object.uid != object_uid);
        if holding.objects.is_empty() {
            self.by_owner.remove(owning);
        }
    }

    fn relisted(&mut self, kind: OutputKind) -> Vec<Owner> {
        let mut before: HashMap<(Owner, String), String> = HashMap::new();
        for ((namespace, uid), holding) in &mut self.by_owner {
            let owner = Owner { namespace: namespace.clone(), name: holding.owner.clone(), uid: uid.clone() };
            holding.objects.retain(|((of, name), owned)| {
                if *of == kind {
                    before.insert((owner.clone(), name.clone()), owned.resource_version.clone());
                }
                *of != kind
            });
        }
        let mut changed = HashSet::new();
        for (owner, name, owned) in self.listing.remove(&kind).unwrap_or_default() {
            if before.remove(&(owner.clone(), name.clone())).as_ref() != Some(&owned.resource_version) {
                changed.insert(owner.clone());
            }
            let holding = self.by_owner.entry(owner.owning()).or_insert_with(|| Holding::of(&owner));
            holding.put((kind, name), owned);
        }
        changed.extend(before.into_keys().map(|(owner, _)| owner));
        self.by_owner.retain(|_, holding| !holding.objects.is_empty());
        changed.into_iter().collect()
    }
}

/// Anything with metadata.
pub trait AsMeta {
    fn meta(&self) -> &ObjectMeta;
}

impl<K: kube::Resource> AsMeta for K {
    fn meta(&self) -> &ObjectMeta {
        kube::Resource::meta(self)
    }
}

/// The controlling owner of our kind.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| {
        owner.controller == Some(true)
            && owner.kind == "ExternalApplication"
            && owner.api_version.starts_with("extapp.dev/")
    })
}

fn entry(meta: &ObjectMeta) -> Option<(Owner, String, Owned)> {
    let reference = controller_of(meta)?;
    let annotation = |key: &str| meta.annotations.as_ref().and_then(|annotations| annotations.get(key)).cloned();
    let owner = Owner { namespace: meta.namespace.clone()?, name: reference.name.clone(), uid: reference.uid.clone() };
    let object = Owned {
        uid: meta.uid.clone()?,
        resource_version: meta.resource_version.clone()?,
        credential: annotation(CREDENTIAL),
        client_id: annotation(CLIENT_ID).map(ClientId::new),
        versioned: annotation(VERSIONED).is_some(),
        kept: annotation(KEPT).is_some(),
        created_at: meta.creation_timestamp.as_ref().map(|time| time.0),
    };
    Some((owner, meta.name.clone()?, object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Secret;

    fn secret(name: &str, version: &str) -> Secret {
        serde_json::from_value(serde_json::json!({"metadata": {
            "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": version,
            "ownerReferences": [{"apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "name": "app",
                "uid": "app-uid", "controller": true}]
        }}))
        .expect("a Secret")
    }

    fn app() -> ExternalApplication {
        let mut app = crate::domain::fixtures::app();
        app.metadata.namespace = Some("ns".into());
        app.metadata.uid = Some("app-uid".into());
        app
    }

    const KIND: OutputKind = OutputKind::Secret;

    #[test]
    fn a_change_by_others_wakes_the_owner_and_our_own_write_does_not() {
        let index = OwnedIndex::default();
        index.wrote(KIND, secret("a", "1").meta());
        assert_eq!(index.of(&app()).len(), 1, "seen by the next pass at once");
        assert!(index.take(KIND, &Event::Apply(secret("a", "1"))).is_empty());
        assert_eq!(index.take(KIND, &Event::Apply(secret("a", "2"))).len(), 1);
        assert_eq!(index.take(KIND, &Event::Delete(secret("a", "3"))).len(), 1);
        assert!(index.of(&app()).is_empty());
    }

    #[test]
    fn an_object_of_another_namespace_that_names_the_application_is_none_of_its() {
        let index = OwnedIndex::default();
        let mut stranger = secret("a", "1");
        stranger.metadata.namespace = Some("elsewhere".into());
        index.take(KIND, &Event::Apply(secret("a", "1")));
        index.take(KIND, &Event::Apply(stranger.clone()));
        index.take(KIND, &Event::Delete(stranger));
        assert_eq!(index.of(&app()).len(), 1);
    }

    #[test]
    fn what_vanished_while_nobody_watched_wakes_the_owner() {
        let index = OwnedIndex::default();
        let list = |names: &[&str]| {
            index.take(KIND, &Event::<Secret>::Init);
            for name in names {
                index.take(KIND, &Event::InitApply(secret(name, "1")));
            }
            index.take(KIND, &Event::<Secret>::InitDone)
        };
        assert_eq!(list(&["a", "b"]).len(), 1);
        assert!(list(&["a", "b"]).is_empty());
        assert_eq!(list(&["a"]).len(), 1);
        assert_eq!(index.of(&app()).len(), 1);
        assert_eq!(list(&[]).len(), 1);
    }
}
