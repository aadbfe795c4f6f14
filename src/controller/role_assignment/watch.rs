//! Who is woken when an assignment, or the application of one, changes.

use std::collections::HashSet;

use kube::runtime::reflector::ObjectRef;

use crate::api::{ExternalApplication, RoleAssignment};
use crate::controller::Context;
use crate::controller::changes::{self, digest};
use crate::domain::permissions::{concern_the_same, has_finalizer, holds, is_registered, was_settled};

/// What about an assignment is a reason to look: what people change, and that our finalizer was taken off.
pub fn acted_on(object: &RoleAssignment) -> u64 {
    let unguarded = holds(object) && !has_finalizer(object);
    digest(&(changes::acted_on(object), unguarded))
}

/// A list came, perhaps in the place of events that were missed: those who wait for each other look again.
pub fn listed(context: &Context) {
    for object in context.role_assignments.state() {
        context.permit_later(&object);
    }
    for app in context.applications.state() {
        if app.metadata.deletion_timestamp.is_some() {
            wake(&app, context);
        }
    }
}

/// An assignment was changed by a person. Others of the same application and tenant look again, too: they may no longer
/// agree, or agree again.
pub fn changed(object: &RoleAssignment, context: &Context) {
    let settled = object.metadata.deletion_timestamp.is_none()
        && context
            .application_of(object)
            .and_then(|app| crate::domain::observed::status_client_id(&app))
            .is_some_and(|client_id| was_settled(object, &client_id));
    if settled {
        context.permit_later(object);
    } else {
        context.wake_permit(object);
        look_at_rivals(object, context);
    }
}

fn look_at_rivals(object: &RoleAssignment, context: &Context) {
    for other in context.role_assignments.state() {
        if concern_the_same(object, &other) && other.metadata.uid != object.metadata.uid {
            context.suspect(other.metadata.uid.as_deref().unwrap_or_default());
            context.wake_permit(&other);
        }
    }
}

/// What an assignment has, or is, changed: an application that goes may have waited for it.
pub fn noticed(object: &RoleAssignment, context: &Context) {
    let Some(app) = context.application_of(object) else { return };
    if app.metadata.deletion_timestamp.is_some() {
        wake(&app, context);
    }
}

fn wake(app: &ExternalApplication, context: &Context) {
    let meta = &app.metadata;
    context.wake_application(meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
}

/// An assignment is gone.
pub fn gone(object: &RoleAssignment, context: &Context) {
    forget(object, context);
    look_at_rivals(object, context);
    noticed(object, context);
}

/// Nothing is kept for it any more.
pub fn forget(object: &RoleAssignment, context: &Context) {
    let Some(uid) = object.metadata.uid.as_deref() else { return };
    context.retries.forget(uid);
    context.clear_suspicion(uid);
    context.say_no_more(uid);
    if let Some(key) = context.server_of(object) {
        context.servers.get(&key).permit_turns.forget(&ObjectRef::from_obj(object));
    }
}

/// What of an application matters to its assignments.
pub fn matters(app: &ExternalApplication) -> u64 {
    let status = app.status.as_ref();
    digest(&(
        app.metadata.uid.as_ref(),
        app.metadata.generation,
        app.metadata.deletion_timestamp.is_some(),
        status.and_then(|status| status.client_id.as_ref()),
        is_registered(app),
    ))
}

/// Applications changed: their assignments look again. One walk over all assignments, however many a list has brought.
pub fn applications_changed(changed: &[ObjectRef<ExternalApplication>], context: &Context) {
    if changed.is_empty() {
        return;
    }
    let changed: HashSet<(&str, &str)> =
        changed.iter().map(|app| (app.namespace.as_deref().unwrap_or_default(), app.name.as_str())).collect();
    for object in context.role_assignments.state() {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        if changed.contains(&(namespace, object.spec.application_ref.name.as_str())) {
            context.wake_permit(&object);
        }
    }
}
