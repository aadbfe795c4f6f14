//! What there is to say of an application, in a form that text and JSON are made from. Pure.

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;
use serde::Serialize;

use crate::api::ExternalApplication;
use crate::api::external_application::{
    ApplicationType, CredentialKind, CredentialState, CredentialStatus, ExternalApplicationStatus, OutputFormat,
    OutputKind, ScopeState, ScopeStatus,
};
use crate::domain::outputs::resolve;
use crate::domain::rotation::outstanding;
use crate::domain::rotation::report::ROTATED;

/// The shape of `extapp status -o json`. Fields are added, never renamed or taken away; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub namespace: String,
    pub name: String,
    pub server: Server,
    pub r#type: ApplicationType,
    pub ready: bool,
    /// Why: the reason of the condition Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether the operator has seen the spec as it is now.
    pub observed: bool,
    pub suspended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Those that were asked for and are not there.
    pub scopes_not_granted: Vec<ScopeStatus>,
    pub outputs: Vec<Output>,
    pub credentials: Vec<Credential>,
    pub rotation: Rotation,
    /// All conditions but Ready.
    pub conditions: Vec<Said>,
    pub events: Vec<Happened>,
}

#[derive(Debug, Serialize)]
pub struct Server {
    pub namespace: String,
    pub name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub kind: OutputKind,
    /// As the spec has it.
    pub name: String,
    pub format: OutputFormat,
    /// Whether the object is called `name` with a hash behind it.
    pub immutable: bool,
    /// The object that exists now, where the status names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    pub id: String,
    pub kind: CredentialKind,
    pub state: CredentialState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// How many running pods may still use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trigger: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_time: Option<Timestamp>,
    /// What the condition Rotated says: under way or failing while its status is False.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Said>,
    /// What was asked for by annotation and is not carried out yet.
    pub requested: Vec<Request>,
}

#[derive(Debug, Serialize)]
pub struct Request {
    pub annotation: &'static str,
    pub value: String,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    pub r#type: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub since: Timestamp,
}

/// An Event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    pub r#type: String,
    pub reason: String,
    pub message: String,
    pub count: i32,
}

impl Report {
    pub fn of(app: &ExternalApplication, events: Vec<Happened>) -> Self {
        let status = app.status.clone().unwrap_or_default();
        let namespace = app.namespace().unwrap_or_default();
        let observed = status.observed_generation == app.metadata.generation;
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let server = &app.spec.server_ref;
        Self {
            server: Server {
                namespace: server.namespace.clone().unwrap_or_else(|| namespace.clone()),
                name: server.name.clone(),
            },
            namespace,
            name: app.name_any(),
            r#type: app.spec.r#type,
            ready: observed && ready.is_some_and(|condition| condition.status == "True"),
            reason: ready.map(|condition| condition.reason.clone()),
            message: ready.map(|condition| condition.message.clone()),
            observed,
            suspended: app.spec.suspend,
            deleted_at: app.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            scopes_not_granted: not_granted(&status),
            outputs: outputs(app, &status),
            credentials: status.credentials.iter().map(Credential::of).collect(),
            rotation: Rotation::of(app, &status),
            conditions: status.conditions.iter().filter(|one| one.type_ != "Ready").map(Said::of).collect(),
            events,
            client_id: status.client_id,
            issuer: status.issuer,
            token_endpoint: status.token_endpoint,
        }
    }
}

fn not_granted(status: &ExternalApplicationStatus) -> Vec<ScopeStatus> {
    status.scopes.iter().filter(|scope| scope.state != ScopeState::Granted).cloned().collect()
}

fn outputs(app: &ExternalApplication, status: &ExternalApplicationStatus) -> Vec<Output> {
    let binding = status.binding.as_ref().map(|binding| binding.name.clone());
    let resolved = resolve(app).into_iter().enumerate();
    let one = |(index, output): (usize, crate::domain::outputs::ResolvedOutput)| {
        // The status names the first output; the names of others are known where they do not change.
        let fixed = (!output.immutable && binding.is_some()).then(|| output.name.clone());
        Output {
            current: if index == 0 { binding.clone() } else { fixed },
            kind: output.kind,
            name: output.name,
            format: output.format,
            immutable: output.immutable,
        }
    };
    resolved.map(one).collect()
}

impl Credential {
    fn of(credential: &CredentialStatus) -> Self {
        Self {
            id: credential.id.clone(),
            kind: credential.kind,
            state: credential.state,
            name: credential.name.clone(),
            created_at: time(credential.created_at.as_ref()),
            expires_at: time(credential.expires_at.as_ref()),
            verified_at: time(credential.verified_at.as_ref()),
            pods: credential.pods,
        }
    }
}

impl Rotation {
    fn of(app: &ExternalApplication, status: &ExternalApplicationStatus) -> Self {
        let known = status.rotation.clone().unwrap_or_default();
        let open = outstanding(app).into_iter().map(|(annotation, value)| Request { annotation, value });
        Self {
            last_time: time(known.last_time.as_ref()),
            last_trigger: known.last_trigger,
            next_time: time(status.next_rotation_time.as_ref()),
            failed_time: time(known.failed_time.as_ref()),
            condition: status.conditions.iter().find(|one| one.type_ == ROTATED).map(Said::of),
            requested: open.collect(),
        }
    }
}

impl Said {
    pub fn of(condition: &Condition) -> Self {
        Self {
            r#type: condition.type_.clone(),
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: condition.last_transition_time.0,
        }
    }
}

impl Happened {
    pub fn of(event: &Event) -> Self {
        let series = event.series.as_ref();
        let last = series.map(|series| series.last_observed_time.0);
        let first = event.event_time.as_ref().map(|time| time.0);
        let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
        Self {
            time: last.or(first).or(old),
            r#type: event.type_.clone().unwrap_or_default(),
            reason: event.reason.clone().unwrap_or_default(),
            message: event.note.clone().unwrap_or_default(),
            count: series.map_or(1, |series| series.count),
        }
    }
}

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
