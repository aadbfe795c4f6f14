//! When an application's secret is replaced: a list of checks, each of which finds a reason or none. The first that finds
//! one decides.
//!
//! Everything here is a function of what was seen and of the time that is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::capabilities::{Capabilities, Secrets};
use super::observed::{Finding, keeps_secret, observes};
use super::reason::Reason;
use super::registration::SecretId;
use super::renewal;
use crate::api::ExternalApplication;
use crate::api::common::HumanDuration;
use crate::api::external_application::{CredentialKind, CredentialState, CredentialStatus, ExternalApplicationStatus};
use crate::api::rotation::{Overlap, RestartTarget, Retire, RotationStatus};

pub mod kept;
pub mod pacing;
pub mod proof;
pub mod report;
mod trigger;
pub mod unusable;
pub mod window;

use kept::SeenKept;
pub use trigger::Trigger;
use trigger::{is_handled, refresh, remember};
use window::Window;

/// How long a replaced secret stays valid where nobody says otherwise.
pub const OVERLAP: Duration = Duration::from_hours(24);

/// How long the server may take to accept a new secret before it is withdrawn.
pub const PROOF: Duration = Duration::from_mins(5);

/// The same for one that replaces a leaked secret. After that it is published unproven: what leaked must go.
pub const URGENT_PROOF: Duration = Duration::from_mins(1);

/// How long a token endpoint may give no answer before a new secret is withdrawn.
pub const UNANSWERED: Duration = Duration::from_hours(1);

/// After a new secret was withdrawn, how long nothing but a request makes another one.
pub const AGAIN: Duration = Duration::from_hours(1);

/// The longest value of an annotation that is told apart, in characters.
const REQUEST: usize = 256;

/// A rotation that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub trigger: Trigger,
    /// Since when.
    pub since: Timestamp,
    /// The value of the annotation that asks for it.
    pub request: Option<String>,
}

/// What a spec says of rotation, with its defaults filled in.
#[derive(Clone, Debug)]
pub struct Policy {
    pub interval: Option<Duration>,
    pub max_age: Option<Duration>,
    /// Absent: nobody said.
    pub overlap: Option<Duration>,
    pub window: Option<Window>,
    pub retire: Retire,
    pub restart: Vec<RestartTarget>,
}

impl Policy {
    /// How long the secret before stays valid after a rotation.
    pub fn overlap(&self) -> Duration {
        self.overlap.unwrap_or(OVERLAP)
    }

    /// How long one that was replaced because it was lost stays valid: nobody can go on with it but who has it already.
    pub fn retirement(&self) -> Duration {
        self.overlap.unwrap_or(super::credentials::RETIREMENT)
    }

    /// The policy of an application; what is wrong with it, with the field that is to be mended.
    pub fn of(app: &ExternalApplication) -> Result<Self, Finding> {
        let Some(spec) = &app.spec.rotation else {
            return Ok(Self {
                interval: None,
                max_age: None,
                overlap: None,
                window: None,
                retire: Retire::default(),
                restart: Vec::new(),
            });
        };
        let invalid = |message: String| Finding::stalled(Reason::InvalidSpec, message);
        let window = spec.window.as_ref().map(|window| {
            let duration = window.duration.parse().unwrap_or_default();
            Window::parse(&window.schedule, window.time_zone.as_deref(), duration)
                .map_err(|error| invalid(format!("spec.rotation.window.{error}")))
        });
        let policy = Self {
            interval: spec.interval.as_ref().and_then(HumanDuration::parse),
            max_age: spec.max_age.as_ref().and_then(HumanDuration::parse),
            overlap: spec.overlap.as_ref().and_then(Overlap::parse),
            window: window.transpose()?,
            retire: spec.retire.unwrap_or_default(),
            restart: spec.restart.clone(),
        };
        let (interval, max_age) = (policy.interval, policy.max_age);
        if interval.zip(max_age).is_some_and(|(interval, max_age)| max_age < interval) {
            return Err(invalid(
                "spec.rotation.maxAge: must be at least interval, or the interval is never reached".into(),
            ));
        }
        Ok(policy)
    }

    /// What a server of these capabilities cannot do of it.
    pub fn refusal(&self, capabilities: &Capabilities) -> Option<Finding> {
        let (provider, asked) = (capabilities.provider, self.interval.or(self.max_age).is_some());
        let not_supported = |message| Some(Finding::stalled(Reason::NotSupported, message));
        match capabilities.secrets {
            Secrets::One if self.overlap.is_some_and(|overlap| !overlap.is_zero()) => not_supported(format!(
                "spec.rotation.overlap: a server of kind {provider} keeps one secret, so the old one ends when the new one is made. Set overlap to 0s"
            )),
            Secrets::One if self.retire == Retire::WhenConsumersRolled => not_supported(format!(
                "spec.rotation.retire: a server of kind {provider} keeps one secret, so the old one cannot wait for its consumers. Use AfterOverlap"
            )),
            Secrets::Fixed if asked => not_supported(format!(
                "spec.rotation: a server of kind {provider} gives a registration the secret that it was made with and no other. Remove interval and maxAge; to have another secret, make another ExternalApplication"
            )),
            Secrets::Several | Secrets::One | Secrets::Fixed => None,
        }
    }
}

/// Everything that the checks look at.
pub struct Facts<'a> {
    pub policy: &'a Policy,
    pub annotations: &'a BTreeMap<String, String>,
    pub status: &'a RotationStatus,
    /// The published secret, as the status has it.
    pub current: &'a CredentialStatus,
    /// When there was a secret at the latest, where nothing tells when it was made.
    pub known_since: Timestamp,
    pub jitter: Duration,
    /// Whether the registration is only observed: then nothing begins by itself.
    pub observed: bool,
    pub now: Timestamp,
}

type Check = fn(&Facts<'_>) -> Option<Due>;

/// In the order of what cannot wait.
const CHECKS: [Check; 6] = [leaked, rolled_back, requested, expiring, too_old, scheduled];

/// Whether a rotation is to begin, and why.
pub fn due(facts: &Facts<'_>) -> Option<Due> {
    CHECKS.iter().find_map(|check| check(facts))
}

fn leaked(facts: &Facts<'_>) -> Option<Due> {
    asked_for(Trigger::Leaked, facts)
}

fn rolled_back(facts: &Facts<'_>) -> Option<Due> {
    asked_for(Trigger::RolledBack, facts)
}

fn requested(facts: &Facts<'_>) -> Option<Due> {
    asked_for(Trigger::Requested, facts)
}

fn asked_for(trigger: Trigger, facts: &Facts<'_>) -> Option<Due> {
    request(trigger, facts.annotations, facts.status, facts.now)
}

/// What an annotation asks for, unless that was carried out.
fn request(
    trigger: Trigger,
    annotations: &BTreeMap<String, String>,
    status: &RotationStatus,
    now: Timestamp,
) -> Option<Due> {
    let value = annotations.get(trigger.annotation()?).map(|value| shortened(value))?;
    (!is_handled(status, trigger, &value)).then_some(Due { trigger, since: now, request: Some(value) })
}

/// What the status says of rotations.
pub fn recorded(app: &ExternalApplication) -> Option<&RotationStatus> {
    app.status.as_ref()?.rotation.as_ref()
}

/// What annotations ask for and is not carried out: each annotation with its value.
pub fn outstanding(app: &ExternalApplication) -> Vec<(&'static str, String)> {
    let none = RotationStatus::default();
    let status = recorded(app).unwrap_or(&none);
    let asked = |trigger: Trigger| {
        let annotation = trigger.annotation()?;
        let value = app.metadata.annotations.as_ref()?.get(annotation)?;
        (!is_handled(status, trigger, &shortened(value))).then(|| (annotation, value.clone()))
    };
    [Trigger::Requested, Trigger::RolledBack, Trigger::Leaked].into_iter().filter_map(asked).collect()
}

fn expiring(facts: &Facts<'_>) -> Option<Due> {
    automatic(Trigger::Expiry, expiry_ahead(facts), facts)
}

fn too_old(facts: &Facts<'_>) -> Option<Due> {
    automatic(Trigger::MaxAge, facts.policy.max_age.map(|age| later(facts.made_at(), age)), facts)
}

fn scheduled(facts: &Facts<'_>) -> Option<Due> {
    let due = facts.scheduled_at()?;
    let open = match &facts.policy.window {
        None => true,
        // One rotation for each opening, however short the interval is.
        Some(window) => window.open_at(facts.now).is_some_and(|occurrence| facts.last_time() < occurrence.opens),
    };
    automatic(Trigger::Schedule, Some(due).filter(|_| open), facts)
}

fn automatic(trigger: Trigger, at: Option<Timestamp>, facts: &Facts<'_>) -> Option<Due> {
    let since = at.filter(|at| *at <= facts.now && !facts.observed && !facts.failed_lately())?;
    Some(Due { trigger, since, request: None })
}

fn expiry_ahead(facts: &Facts<'_>) -> Option<Timestamp> {
    let expires = facts.current.expires_at.as_ref()?.0;
    Some(renewal::renewed_from(facts.current.created_at.as_ref().map(|time| time.0), expires))
}

impl Facts<'_> {
    fn made_at(&self) -> Timestamp {
        self.current.created_at.as_ref().map_or(self.known_since, |time| time.0)
    }

    /// When the current secret was published in place of another one, or was made.
    fn last_time(&self) -> Timestamp {
        self.status.last_time.as_ref().map_or_else(|| self.made_at(), |time| time.0)
    }

    /// When the interval has passed, whether or not a window is open then.
    fn scheduled_at(&self) -> Option<Timestamp> {
        let interval = self.policy.interval?;
        Some(later(self.last_time(), interval.saturating_sub(self.jitter)))
    }

    fn failed_lately(&self) -> bool {
        self.status.failed_time.as_ref().is_some_and(|failed| self.now < later(failed.0, AGAIN))
    }
}

/// When the next rotation begins by itself: the first of interval (in its window), age and expiry, and not before another
/// try is due.
pub fn next_time(facts: &Facts<'_>) -> Option<Timestamp> {
    if facts.observed {
        return None;
    }
    let scheduled = facts.scheduled_at().and_then(|due| match &facts.policy.window {
        None => Some(due),
        Some(window) => in_window(window, due, facts),
    });
    let oldest = facts.policy.max_age.map(|age| later(facts.made_at(), age));
    let next = [scheduled, oldest, expiry_ahead(facts)].into_iter().flatten().min()?;
    let again =
        facts.status.failed_time.as_ref().filter(|_| facts.failed_lately()).map(|failed| later(failed.0, AGAIN));
    Some(again.map_or(next, |again| next.max(again)))
}

/// The first time at or after this one, and not in the past, at which the window lets a rotation begin.
fn in_window(window: &Window, due: Timestamp, facts: &Facts<'_>) -> Option<Timestamp> {
    let from = if window.open_at(due).is_some() { due } else { due.max(facts.now) };
    let unused = |opens: Timestamp| facts.last_time() < opens;
    match window.open_at(from) {
        Some(occurrence) if unused(occurrence.opens) && facts.now < occurrence.closes => {
            Some(occurrence.opens.max(due))
        }
        _ => window.next_after(due.max(facts.now)).map(|occurrence| occurrence.opens),
    }
}

fn shortened(value: &str) -> String {
    value.chars().take(REQUEST).collect()
}

/// A time so much later.
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// Whether a secret is kept that is to be published and is not, as far as the status says.
pub fn is_under_way(app: &ExternalApplication, kept: Option<&SeenKept>) -> bool {
    let credentials = app.status.as_ref().map_or(&[][..], |status| &status.credentials);
    let current = current(credentials).map(|credential| SecretId::new(&credential.id));
    kept.is_some_and(|seen| seen.kept.under_way(current.as_ref(), recorded(app)).is_some())
}

/// The published secret of a status.
pub fn current(credentials: &[CredentialStatus]) -> Option<&CredentialStatus> {
    credentials
        .iter()
        .find(|credential| credential.kind == CredentialKind::Secret && credential.state == CredentialState::Active)
}

/// What an application says of its own accord about a rotation that is to begin: its annotations, its status and its spec
/// are enough to tell. What is wrong with the spec is told elsewhere.
pub fn of_application(app: &ExternalApplication, now: Timestamp) -> Option<Due> {
    let status = app.status.as_ref()?;
    if !keeps_secret(app) {
        return leaked_before(app, status, now);
    }
    with_facts(app, &status.credentials, status.rotation.as_ref(), now, due).flatten()
}

/// An application that does without a secret may still have those that it had: if they have leaked, they go at once.
fn leaked_before(app: &ExternalApplication, status: &ExternalApplicationStatus, now: Timestamp) -> Option<Due> {
    status.credentials.iter().find(|credential| credential.kind == CredentialKind::Secret)?;
    let handled = status.rotation.clone().unwrap_or_default();
    request(Trigger::Leaked, app.metadata.annotations.as_ref()?, &handled, now)
}

fn with_facts<T>(
    app: &ExternalApplication,
    credentials: &[CredentialStatus],
    rotation: Option<&RotationStatus>,
    now: Timestamp,
    then: impl Fn(&Facts<'_>) -> T,
) -> Option<T> {
    let current = current(credentials)?;
    let policy = Policy::of(app).ok()?;
    let (nothing, none) = (RotationStatus::default(), BTreeMap::new());
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    Some(then(&Facts {
        policy: &policy,
        annotations: app.metadata.annotations.as_ref().unwrap_or(&none),
        status: rotation.unwrap_or(&nothing),
        current,
        known_since: app.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
        observed: observes(app),
        jitter: policy.interval.map_or(Duration::ZERO, |interval| pacing::jitter(uid, interval)),
        now,
    }))
}

/// The secret that can be published again: the one that was current before.
pub fn previous<'a>(credentials: &'a [CredentialStatus], kept: Option<&SecretId>) -> Option<&'a CredentialStatus> {
    credentials.iter().find(|credential| {
        credential.state == CredentialState::Retiring && kept.is_some_and(|id| id.as_str() == credential.id)
    })
}

#[cfg(test)]
mod tests;
