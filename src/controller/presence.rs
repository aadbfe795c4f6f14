//! Applications as they come and go.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tracing::warn;

use super::{Context, application, server_key};
use crate::api::ExternalApplication;
use crate::domain::observed::has_finalizer;

/// What a list has shown so far.
pub type Listed = HashSet<ObjectRef<ExternalApplication>, std::hash::RandomState>;

/// An object that is gone although our finalizer was on it. A deletion that waited for the finalizer is marked; this one
/// never was.
pub fn vanished(event: &Event<ExternalApplication>) -> Option<&ExternalApplication> {
    let Event::Delete(app) = event else { return None };
    (has_finalizer(app) && app.metadata.deletion_timestamp.is_none()).then_some(app)
}

/// Deletes what objects had at their servers that are gone without having been asked.
pub async fn clean_up(mut orphans: UnboundedReceiver<ExternalApplication>, context: Arc<Context>) {
    while let Some(app) = orphans.next().await {
        if let Err(failure) = application::orphaned(&app, None, &context).await {
            let (namespace, object) = (app.namespace().unwrap_or_default(), app.name_any());
            warn!(namespace, object, %failure, "a registration without an object could not be handed over");
        }
    }
}

/// Remembers applications as they come and go, for the counts of their servers. Called before the store takes the event
/// in: of what a list no longer shows, the store is the last to know.
pub fn come_and_gone(event: &Event<ExternalApplication>, listed: &mut Listed, context: &Context) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(app) => {
            listed.insert(ObjectRef::from_obj(app));
        }
        Event::InitDone => {
            let listed = std::mem::take(listed);
            for app in context.applications.state() {
                if !listed.contains(&ObjectRef::from_obj(&*app)) {
                    context.forget_application(&app);
                }
            }
        }
        Event::Delete(app) => context.forget_application(app),
        Event::Apply(app) => {
            let before = context.applications.get(&ObjectRef::from_obj(app));
            if before.is_none_or(|before| uses(&before) != uses(app)) {
                context.count_anew(server_key(app));
            }
        }
    }
}

/// The APIs that an application asks for scopes of.
fn uses(app: &ExternalApplication) -> BTreeSet<&str> {
    app.spec.resources.iter().map(|resource| resource.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{app, guarded};

    #[test]
    fn only_an_object_whose_deletion_was_never_marked_has_vanished() {
        assert!(vanished(&Event::Delete(guarded(app()))).is_some());
        assert!(vanished(&Event::Delete(app())).is_none(), "nothing was registered for it");
        let mut marked = guarded(app());
        marked.metadata.deletion_timestamp = Some(crate::domain::credentials::whole(crate::domain::fixtures::NOON));
        assert!(vanished(&Event::Delete(marked)).is_none(), "its finalizer has been seen");
        assert!(vanished(&Event::Apply(guarded(app()))).is_none());
    }
}
