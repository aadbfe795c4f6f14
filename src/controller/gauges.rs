//! Gauges that are read from the stores when somebody asks for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Context, authorization_server, server_key};
use crate::api::external_application::{CredentialState, CredentialStatus};
use crate::domain::rotation::{self, report::ROTATED};
use crate::metrics::{ApplicationLabel, Queue, Readiness, ServerLabel, ServerMethod, Unfinished};
use crate::server::budget::Class;

/// Brings the gauges up to date that are read from the stores.
pub fn refresh(context: &Context) {
    let metrics = &context.metrics;
    metrics.applications.clear();
    for app in context.applications.state() {
        let ready = readiness(app.status.as_ref().map(|status| status.conditions.as_slice()));
        metrics.applications.get_or_create(&Readiness { server: server_key(&app).to_string(), ready }).inc();
    }
    credentials(context);
    metrics.role_assignments.clear();
    for object in context.role_assignments.state() {
        let ready = readiness(object.status.as_ref().map(|status| status.conditions.as_slice()));
        let server = context.server_of(&object).map(|key| key.to_string()).unwrap_or_default();
        metrics.role_assignments.get_or_create(&Readiness { server, ready }).inc();
    }
    metrics.server_credential_expiry.clear();
    for server in context.authorization_servers.state() {
        let credential = server.status.as_ref().and_then(|status| status.credential.as_ref());
        if let Some(end) = credential.and_then(|credential| credential.expires_at.as_ref()) {
            let label = ServerLabel { server: authorization_server::key_of(&server).to_string() };
            metrics.server_credential_expiry.get_or_create(&label).set(authorization_server::seconds(end.0));
        }
    }
    let retrying = i64::try_from(context.retries.count()).unwrap_or(i64::MAX);
    metrics.retrying.set(retrying);
    metrics.waiting.clear();
    metrics.budget_remaining.clear();
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

/// What there is to say of secrets and their rotation. Only applications that rotate, or whose secret ends, have series of
/// their own.
fn credentials(context: &Context) {
    let metrics = &context.metrics;
    for family in [&metrics.rotation_next, &metrics.credential_created, &metrics.credential_expiry] {
        family.clear();
    }
    metrics.unfinished.clear();
    metrics.retiring.clear();
    metrics.holders.clear();
    for app in context.applications.state() {
        let Some(status) = &app.status else { continue };
        let label = || ApplicationLabel {
            namespace: app.metadata.namespace.clone().unwrap_or_default(),
            application: app.metadata.name.clone().unwrap_or_default(),
        };
        let set = |family: &Family<ApplicationLabel, Gauge>, time: Option<&Time>| {
            if let Some(time) = time {
                family.get_or_create(&label()).set(time.0.as_second());
            }
        };
        set(&metrics.rotation_next, status.next_rotation_time.as_ref().filter(|_| !app.spec.suspend));
        if let Some(current) = rotation::current(&status.credentials) {
            set(&metrics.credential_expiry, current.expires_at.as_ref());
            set(&metrics.credential_created, current.created_at.as_ref().filter(|_| app.spec.rotation.is_some()));
        }
        let server = || server_key(&app).to_string();
        let retiring = |credential: &&CredentialStatus| credential.state == CredentialState::Retiring;
        let retiring = status.credentials.iter().filter(retiring).count();
        if retiring > 0 {
            let count = i64::try_from(retiring).unwrap_or(i64::MAX);
            metrics.retiring.get_or_create(&ServerLabel { server: server() }).inc_by(count);
        }
        // All that are retiring are held by the same pods.
        let holding = status.credentials.iter().filter_map(|credential| credential.pods).max();
        if let Some(pods) = holding.filter(|pods| *pods > 0) {
            metrics.holders.get_or_create(&ServerLabel { server: server() }).inc_by(i64::from(pods));
        }
        let unfinished = |condition: &&Condition| condition.type_ == ROTATED && condition.status == "False";
        if let Some(condition) = status.conditions.iter().find(unfinished) {
            let label = Unfinished { server: server(), reason: condition.reason.clone() };
            metrics.unfinished.get_or_create(&label).inc();
        }
    }
}

/// The status of the condition Ready; `Unknown` where nobody has looked.
fn readiness(conditions: Option<&[Condition]>) -> &'static str {
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.map_or("Unknown", |condition| if condition.status == "True" { "True" } else { "False" })
}
