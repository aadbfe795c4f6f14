//! Gauges that are read from the stores when somebody asks for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Context, server_key};
use crate::metrics::{Queue, Readiness, ServerMethod};
use crate::server::budget::Class;

/// Brings the gauges up to date that are read from the stores.
pub fn refresh(context: &Context) {
    let metrics = &context.metrics;
    metrics.applications.clear();
    for app in context.applications.state() {
        let ready = readiness(app.status.as_ref().map(|status| status.conditions.as_slice()));
        metrics.applications.get_or_create(&Readiness { server: server_key(&app).to_string(), ready }).inc();
    }
    metrics.role_assignments.clear();
    for object in context.role_assignments.state() {
        let ready = readiness(object.status.as_ref().map(|status| status.conditions.as_slice()));
        let server = context.server_of(&object).map(|key| key.to_string()).unwrap_or_default();
        metrics.role_assignments.get_or_create(&Readiness { server, ready }).inc();
    }
    let retrying = i64::try_from(context.retries.count()).unwrap_or(i64::MAX);
    metrics.retrying.set(retrying);
    metrics.waiting.clear();
    for server in context.servers.all() {
        for (queue, waiting) in server.turns.waiting() {
            let label = Queue { server: server.key.to_string(), queue };
            metrics.waiting.get_or_create(&label).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        }
        let Some(budget) = server.budget() else { continue };
        for class in Class::ALL {
            if let Some(left) = budget.remaining(class) {
                let label = ServerMethod { server: server.key.to_string(), method: class.as_str() };
                metrics.budget_remaining.get_or_create(&label).set(i64::try_from(left).unwrap_or(i64::MAX));
            }
        }
    }
}

/// The status of the condition Ready; `Unknown` where nobody has looked.
fn readiness(conditions: Option<&[Condition]>) -> &'static str {
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.map_or("Unknown", |condition| if condition.status == "True" { "True" } else { "False" })
}
