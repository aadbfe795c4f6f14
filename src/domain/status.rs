//! What people read: conditions and status, made from what was seen and what was done.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::credentials::whole;
use super::observed::{Finding, Observed, RegistrationSeen, ServerSeen};
use super::reason::Reason;
use super::registration::{ClientId, Scope};
use super::restarts;
use super::rotation;
use super::rotation::kept::SeenKept;
use super::rotation::report::{self, Progress};
use super::validate::Valid;
use crate::api::external_application::{
    Binding, CredentialStatus, ExternalApplication, ExternalApplicationStatus, FieldDifference, ScopeState, ScopeStatus,
};

/// The longest message of a condition, in bytes; the API server takes 32 KiB, people read a line.
const MESSAGE: usize = 1_000;

/// One condition as it is now, or `None` for one that shall not be there.
pub struct Wanted<'a> {
    pub kind: &'a str,
    pub state: Option<(bool, Reason, String)>,
}

/// Merges conditions: a transition time moves only with the status, and what is not named stays.
pub fn conditions(old: &[Condition], wanted: &[Wanted<'_>], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let named: BTreeSet<&str> = wanted.iter().map(|condition| condition.kind).collect();
    let mut merged: Vec<Condition> =
        old.iter().filter(|condition| !named.contains(condition.type_.as_str())).cloned().collect();
    for condition in wanted {
        let Some((holds, reason, message)) = &condition.state else { continue };
        let status = if *holds { "True" } else { "False" };
        let before = old.iter().find(|old| old.type_ == condition.kind && old.status == status);
        merged.push(Condition {
            type_: condition.kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: bounded(message),
            observed_generation: generation,
            last_transition_time: before.map_or_else(|| whole(now), |before| before.last_transition_time.clone()),
        });
    }
    merged.sort_by(|a, b| a.type_.cmp(&b.type_));
    merged
}

fn bounded(message: &str) -> String {
    if message.len() <= MESSAGE {
        return message.to_owned();
    }
    let end = (0..=MESSAGE).rev().find(|index| message.is_char_boundary(*index)).unwrap_or(0);
    format!("{}…", &message[..end])
}

/// What is true of the registration and its credentials at the end of a pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Achieved {
    pub client_id: Option<ClientId>,
    /// The scopes that the registration has, where the pass learnt or set them.
    pub granted: Option<BTreeSet<Scope>>,
    pub credentials: Vec<CredentialStatus>,
    /// The object that carries the details now.
    pub binding: Option<String>,
    /// Whether every output is as it shall be.
    pub published: bool,
    pub drift: Vec<FieldDifference>,
    /// How a rotation stands.
    pub rotation: Progress,
    /// What is kept for it at the end of the pass.
    pub kept: Option<SeenKept>,
    /// What came of restarts, where any were due.
    pub restarts: Option<restarts::Outcome>,
}

/// How a pass ended.
pub enum Outcome {
    /// Everything is as the spec says.
    Done { valid: Box<Valid>, achieved: Achieved },
    /// Everything that can be done was done, while the spec cannot be brought about.
    Held { valid: Box<Valid>, achieved: Achieved, finding: Finding },
    /// A step failed; what was achieved before it holds.
    Failed { valid: Box<Valid>, achieved: Achieved, finding: Finding },
    /// Nothing was attempted.
    Refused { finding: Finding, scopes: Option<Vec<ScopeStatus>> },
    /// It is too early to say anything.
    Silent,
}

impl Outcome {
    /// What a pass that acted on a spec has achieved.
    pub fn carried(&self) -> Option<(&Valid, &Achieved)> {
        match self {
            Self::Done { valid, achieved }
            | Self::Held { valid, achieved, .. }
            | Self::Failed { valid, achieved, .. } => Some((valid, achieved)),
            Self::Refused { .. } | Self::Silent => None,
        }
    }

    /// A pass whose steps were all taken.
    pub fn carried_out(valid: Valid, achieved: Achieved) -> Self {
        match valid.held_back.clone() {
            None => Self::Done { valid: Box::new(valid), achieved },
            Some(finding) => Self::Held { valid: Box::new(valid), achieved, finding },
        }
    }
}

/// The status after a pass; `None` where nothing is to be said.
pub fn application(
    app: &ExternalApplication,
    seen: &Observed,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<ExternalApplicationStatus> {
    let old = app.status.clone().unwrap_or_default();
    let mut next = ExternalApplicationStatus { observed_generation: app.metadata.generation, ..old.clone() };
    let wanted = match outcome {
        Outcome::Silent => return None,
        Outcome::Done { valid, achieved } => {
            describe(app, &mut next, valid, achieved, now);
            achieved_conditions(valid, achieved, None, &next)
        }
        Outcome::Failed { valid, achieved, finding } | Outcome::Held { valid, achieved, finding } => {
            describe(app, &mut next, valid, achieved, now);
            achieved_conditions(valid, achieved, Some(finding), &next)
        }
        Outcome::Refused { finding, scopes } => {
            if let Some(scopes) = scopes {
                next.scopes = scopes.iter().map(|verdict| as_before(verdict, &old.scopes)).collect();
            }
            refused_conditions(app, seen, finding, &mut next)
        }
    };
    next.conditions = conditions(&old.conditions, &wanted, app.metadata.generation, now);
    Some(next)
}

fn describe(
    app: &ExternalApplication,
    next: &mut ExternalApplicationStatus,
    valid: &Valid,
    achieved: &Achieved,
    now: Timestamp,
) {
    let endpoints = &valid.server.endpoints;
    next.client_id = achieved.client_id.as_ref().map(ToString::to_string);
    next.issuer = Some(endpoints.issuer.clone());
    next.token_endpoint = Some(endpoints.token_endpoint.clone());
    next.authorization_endpoint.clone_from(&endpoints.authorization_endpoint);
    next.jwks_uri.clone_from(&endpoints.jwks_uri);
    next.binding = achieved.binding.clone().map(|name| Binding { name }).or(next.binding.take());
    let first = rotation::current(&next.credentials).is_none() && rotation::current(&achieved.credentials).is_some();
    next.credentials.clone_from(&achieved.credentials);
    next.rotation = report::status_after(app, &achieved.rotation, first, now);
    if let Some(restarts::Outcome::All(credential)) = &achieved.restarts {
        next.rotation.get_or_insert_default().restarted = Some(credential.clone());
    }
    next.next_rotation_time = report::next_time(app, &achieved.credentials, next.rotation.as_ref(), now)
        .filter(|_| valid.rotates_by_itself())
        .map(whole);
    next.drift.clone_from(&achieved.drift);
    next.scopes = granted(valid, achieved, &next.scopes);
}

/// A scope that passed every check is Granted once the registration has it.
fn granted(valid: &Valid, achieved: &Achieved, old: &[ScopeStatus]) -> Vec<ScopeStatus> {
    let has = |verdict: &ScopeStatus| match &achieved.granted {
        Some(scopes) => scopes.iter().any(|scope| {
            scope.name == verdict.name && crate::api::api_resource::GrantKind::from(scope.grant) == verdict.r#type
        }),
        None => was_granted(verdict, old),
    };
    let settle = |verdict: &ScopeStatus| {
        let mut verdict = verdict.clone();
        if verdict.state == ScopeState::Pending && has(&verdict) {
            verdict.state = ScopeState::Granted;
        }
        verdict
    };
    valid.scopes.iter().map(settle).collect()
}

fn was_granted(verdict: &ScopeStatus, old: &[ScopeStatus]) -> bool {
    let same = |before: &&ScopeStatus| before.name == verdict.name && before.r#type == verdict.r#type;
    old.iter().find(same).is_some_and(|before| before.state == ScopeState::Granted)
}

/// Nothing was done: a scope that nothing is wrong with is what it was.
fn as_before(verdict: &ScopeStatus, old: &[ScopeStatus]) -> ScopeStatus {
    let granted = verdict.state == ScopeState::Pending && was_granted(verdict, old);
    ScopeStatus { state: if granted { ScopeState::Granted } else { verdict.state }, ..verdict.clone() }
}

fn achieved_conditions<'a>(
    valid: &Valid,
    achieved: &Achieved,
    failure: Option<&Finding>,
    next: &ExternalApplicationStatus,
) -> Vec<Wanted<'a>> {
    let registered = achieved.client_id.as_ref().map_or_else(
        || {
            let (reason, why) = failure.map_or((Reason::Progressing, "not registered yet"), |f| (f.reason, &f.message));
            (false, reason, why.to_owned())
        },
        |id| (true, Reason::Registered, format!("registered at {} as {id}", valid.server.endpoints.issuer)),
    );
    let secret_unknown = valid.observe_only && valid.keeps_secret() && !achieved.published;
    let secretless = valid.confidential() && !valid.keeps_secret();
    let carries = |name: &str| {
        let what = if secretless { "the details, and no client secret" } else { "the credentials" };
        (true, Reason::Published, format!("{name} carries {what}"))
    };
    let published = match (&achieved.binding, failure) {
        (Some(name), None) if achieved.published => carries(name),
        _ if secret_unknown => (
            false,
            Reason::SecretUnknown,
            "management is Observe: the secret is not known and no new one is made; set management Enforce to have one"
                .into(),
        ),
        (_, Some(finding)) => (false, finding.reason, finding.message.clone()),
        _ => (false, Reason::Progressing, "not published yet".into()),
    };
    // A failure after everything was published does not take the credentials away.
    let published = match (&achieved.binding, failure) {
        (Some(name), Some(_)) if achieved.published => carries(name),
        _ => published,
    };
    let drifted = if achieved.drift.is_empty() {
        (false, Reason::InSync, "the registration is as the spec says".to_owned())
    } else {
        let fields: Vec<&str> = achieved.drift.iter().map(|difference| difference.field.as_str()).collect();
        (true, Reason::DriftFound, format!("the registration differs in {}: see status.drift", fields.join(", ")))
    };
    let ready = match failure {
        None if valid.observe_only => (
            true,
            Reason::Observed,
            "management is Observe: the registration is watched, nothing is written".to_owned(),
        ),
        None if secretless => (true, Reason::Ready, "registered, and needs no client secret".to_owned()),
        None => (true, Reason::Ready, "registered, and the credentials are published".to_owned()),
        Some(finding) => (false, finding.reason, finding.message.clone()),
    };
    let mut wanted = vec![
        Wanted { kind: "Registered", state: Some(registered) },
        Wanted { kind: "CredentialsPublished", state: Some(published) },
        Wanted { kind: "Drifted", state: Some(drifted) },
        Wanted { kind: "Ready", state: Some(ready) },
    ];
    wanted.extend(progress(failure));
    wanted.extend(report::condition(valid, &achieved.rotation, next.rotation.as_ref(), &next.conditions));
    wanted
}

/// Whether the condition Ready does not say yet what was found.
pub fn is_news(conditions: &[Condition], finding: &Finding) -> bool {
    !conditions.iter().any(|condition| {
        condition.type_ == "Ready"
            && condition.reason == finding.reason.as_str()
            && condition.message == finding.message
    })
}

/// Reconciling while the operator goes on by itself, Stalled while only a person can help, neither when all is well.
pub(super) fn progress<'a>(failure: Option<&Finding>) -> [Wanted<'a>; 2] {
    let said = |finding: &Finding| (true, finding.reason, finding.message.clone());
    [
        Wanted { kind: "Reconciling", state: failure.filter(|finding| !finding.stalled).map(said) },
        Wanted { kind: "Stalled", state: failure.filter(|finding| finding.stalled).map(said) },
    ]
}

fn refused_conditions<'a>(
    app: &ExternalApplication,
    seen: &Observed,
    finding: &Finding,
    next: &mut ExternalApplicationStatus,
) -> Vec<Wanted<'a>> {
    if finding.reason == Reason::Suspended {
        return suspended_conditions(app, finding);
    }
    let ready = Wanted { kind: "Ready", state: Some((false, finding.reason, finding.message.clone())) };
    let mut wanted = vec![ready];
    if next.client_id.is_none() {
        let state = Some((false, finding.reason, finding.message.clone()));
        wanted.push(Wanted { kind: "Registered", state: state.clone() });
        wanted.push(Wanted { kind: "CredentialsPublished", state });
    }
    if finding.reason == Reason::RegistrationMissing || matches!(seen.registration, RegistrationSeen::Missing { .. }) {
        next.drift = super::difference::absent();
        wanted.push(Wanted { kind: "Registered", state: Some((false, finding.reason, finding.message.clone())) });
        wanted.push(Wanted { kind: "Drifted", state: Some((true, finding.reason, finding.message.clone())) });
    }
    if finding.reason == Reason::SecretConflict {
        wanted.retain(|condition| condition.kind != "CredentialsPublished");
        let state = Some((false, finding.reason, finding.message.clone()));
        wanted.push(Wanted { kind: "CredentialsPublished", state });
    }
    if let (ServerSeen::Usable(facts), RegistrationSeen::Unread(_) | RegistrationSeen::Present(_)) =
        (&seen.seen, &seen.registration)
    {
        next.issuer = Some(facts.endpoints.issuer.clone());
    }
    wanted.extend(progress(Some(finding)));
    wanted
}

/// A suspended application keeps what it had: whether it is Ready does not change, only why.
fn suspended_conditions<'a>(app: &ExternalApplication, finding: &Finding) -> Vec<Wanted<'a>> {
    let was_ready = app
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut wanted = vec![Wanted { kind: "Ready", state: Some((was_ready, finding.reason, finding.message.clone())) }];
    wanted.extend(progress(None));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::NOON;
    use jiff::SignedDuration;

    fn ready(holds: bool, message: &str) -> Vec<Wanted<'static>> {
        vec![Wanted { kind: "Ready", state: Some((holds, Reason::Ready, message.into())) }]
    }

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let first = conditions(&[], &ready(true, "a"), Some(1), NOON);
        let later = NOON + SignedDuration::from_secs(60);
        let same = conditions(&first, &ready(true, "b"), Some(2), later);
        assert_eq!(same[0].last_transition_time, first[0].last_transition_time);
        assert_eq!((same[0].message.as_str(), same[0].observed_generation), ("b", Some(2)));
        let flipped = conditions(&same, &ready(false, "b"), Some(2), later);
        assert_eq!(flipped[0].last_transition_time, whole(later));
    }

    #[test]
    fn what_is_no_longer_true_disappears_and_what_is_not_named_stays() {
        let stalled = [Wanted { kind: "Stalled", state: Some((true, Reason::UnknownScope, "x".into())) }];
        let first = conditions(&[], &stalled, Some(1), NOON);
        let kept = conditions(&first, &ready(true, "a"), Some(1), NOON);
        assert_eq!(kept.len(), 2);
        let gone = conditions(&kept, &[Wanted { kind: "Stalled", state: None }], Some(1), NOON);
        assert_eq!(gone.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Ready"]);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let long = "é".repeat(2_000);
        let made = conditions(&[], &ready(true, &long), None, NOON);
        assert!(made[0].message.len() <= MESSAGE + 3 && made[0].message.ends_with('…'));
    }
}
