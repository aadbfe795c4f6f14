//! Which objects of a watch have changed in what is acted on.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use crate::api::{ABANDON, GROUP, PENDING, REVOKE_NOW, ROLLBACK, ROTATE};

/// Tells changes that matter from others, by a digest of each object.
///
/// A list is told of when it is complete: a store shows none of it before, and whoever was woken by its first object
/// would find the object that was there until then, or none.
pub struct Changes<K> {
    digest: fn(&K) -> u64,
    known: HashMap<Name, u64>,
    listing: HashMap<Name, u64>,
}

/// Namespace and name; a reference of the API has room for more, and there are thousands of these.
type Name = (Box<str>, Box<str>);

fn name_of<K: Resource>(object: &K) -> Name {
    let meta = object.meta();
    (meta.namespace.as_deref().unwrap_or_default().into(), meta.name.as_deref().unwrap_or_default().into())
}

fn reference<K: Resource<DynamicType = ()>>((namespace, name): &Name) -> ObjectRef<K> {
    let reference = ObjectRef::new(name);
    if namespace.is_empty() { reference } else { reference.within(namespace) }
}

impl<K: Resource<DynamicType = ()>> Changes<K> {
    pub fn new(digest: fn(&K) -> u64) -> Self {
        Self { digest, known: HashMap::new(), listing: HashMap::new() }
    }

    /// Takes in one event, after the store has; the objects to look at now.
    pub fn take(&mut self, event: &Event<K>) -> Vec<ObjectRef<K>> {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(name_of(object), (self.digest)(object));
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listing));
                let changed = self.known.iter().filter(|(name, digest)| before.get(*name) != Some(*digest));
                return changed.map(|(name, _)| reference(name)).collect();
            }
            Event::Apply(object) => {
                let digest = (self.digest)(object);
                if self.known.insert(name_of(object), digest) != Some(digest) {
                    return vec![ObjectRef::from_obj(object)];
                }
            }
            Event::Delete(object) => {
                self.known.remove(&name_of(object));
            }
        }
        Vec::new()
    }
}

/// What about an object is a reason to look: its spec, its end, the annotation that people set, and that a finalizer of
/// ours was taken off. A status that we wrote is none, or a failure would never wait; nor is our finalizer when it comes,
/// with the intent.
pub fn acted_on<K: Resource>(object: &K) -> u64 {
    let meta = object.meta();
    let annotation = |key| meta.annotations.as_ref().and_then(|annotations| annotations.get(key));
    let guarded = meta.finalizers.iter().flatten().any(|name| name.starts_with(GROUP));
    let unguarded = annotation(PENDING).is_some() && !guarded;
    let asked = [ROTATE, ROLLBACK, REVOKE_NOW].map(annotation);
    digest(&(
        meta.uid.as_ref(),
        meta.generation,
        meta.deletion_timestamp.is_some(),
        annotation(ABANDON),
        asked,
        unguarded,
    ))
}

/// What about a namespace decides on consent.
pub fn labels<K: Resource>(object: &K) -> u64 {
    digest(&object.meta().labels)
}

/// One number for a value; differs where the value does.
pub fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ExternalApplication;
    use crate::domain::fixtures::{app, intent, with_intent};

    fn named(name: &str, generation: i64) -> ExternalApplication {
        let mut app = app();
        app.metadata.name = Some(name.into());
        app.metadata.generation = Some(generation);
        app
    }

    fn names(references: &[ObjectRef<ExternalApplication>]) -> Vec<&str> {
        let mut names: Vec<&str> = references.iter().map(|reference| reference.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_change_of_what_is_acted_on_is_told_and_a_status_is_not() {
        let mut changes = Changes::new(acted_on);
        assert_eq!(names(&changes.take(&Event::Apply(named("a", 1)))), ["a"]);
        let mut reported = named("a", 1);
        reported.status = Some(crate::api::ExternalApplicationStatus::default());
        assert!(changes.take(&Event::Apply(reported)).is_empty());
        assert_eq!(names(&changes.take(&Event::Apply(named("a", 2)))), ["a"]);
        let mut told = named("a", 2);
        told.metadata.annotations = Some([(ABANDON.to_owned(), "true".to_owned())].into());
        assert_eq!(names(&changes.take(&Event::Apply(told))), ["a"]);
    }

    #[test]
    fn a_finalizer_that_comes_with_an_intent_is_no_news_and_one_that_was_taken_off_is() {
        let mut changes = Changes::new(acted_on);
        changes.take(&Event::Apply(named("a", 1)));
        let guarded = with_intent(named("a", 1), &intent());
        assert!(changes.take(&Event::Apply(guarded.clone())).is_empty());
        let mut bare = guarded;
        bare.metadata.finalizers = None;
        assert_eq!(names(&changes.take(&Event::Apply(bare))), ["a"]);
    }

    #[test]
    fn a_list_is_told_of_when_it_is_complete_and_only_where_it_brings_something_new() {
        let mut changes = Changes::new(acted_on);
        let mut list = |objects: Vec<ExternalApplication>| {
            assert!(changes.take(&Event::Init).is_empty());
            for object in objects {
                assert!(changes.take(&Event::InitApply(object)).is_empty(), "the store does not show it yet");
            }
            changes.take(&Event::InitDone)
        };
        assert_eq!(names(&list(vec![named("a", 1), named("b", 1)])), ["a", "b"]);
        assert!(list(vec![named("a", 1), named("b", 1)]).is_empty());
        assert_eq!(names(&list(vec![named("a", 2), named("c", 1)])), ["a", "c"]);
        assert_eq!(names(&list(vec![named("a", 2), named("b", 1), named("c", 1)])), ["b"], "b had gone and is new");
    }
}
