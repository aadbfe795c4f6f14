//! What people read of a rotation: `status.rotation`, `status.nextRotationTime` and the condition Rotated.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::proof::Answer;
use super::{AGAIN, Due, Policy, Trigger, later, refresh, remember, shortened};
use crate::api::external_application::{CredentialKind, CredentialStatus};
use crate::api::rotation::RotationStatus;
use crate::api::{ExternalApplication, REVOKE_NOW, ROLLBACK, ROTATE};
use crate::domain::capabilities::Secrets;
use crate::domain::credentials::whole;
use crate::domain::intent::READ_LAG;
use crate::domain::observed::Finding;
use crate::domain::reason::Reason;
use crate::domain::registration::SecretId;
use crate::domain::status::{Achieved, Wanted};
use crate::domain::validate::Valid;

/// How often something is looked at again that stands in the way of a rotation.
const BLOCKED: Duration = Duration::from_mins(5);

/// How long before or after a moment a try counts as one at that moment: the longest wait between two.
const LOOK: Duration = Duration::from_secs(30);

/// The type of the condition.
pub const ROTATED: &str = "Rotated";

/// How a rotation stands at the end of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// There is none.
    #[default]
    Rest,
    /// It is due, and others go first.
    Waiting { due: Due, until: Timestamp },
    /// The new secret is not accepted yet. It is tried until this time, if the answer stays the same.
    Proving {
        id: SecretId,
        since: Timestamp,
        until: Timestamp,
        answer: Answer,
        trigger: Trigger,
        request: Option<String>,
    },
    /// The new secret takes the place of the one before, and not everything is done that the rotation takes.
    Publishing { id: SecretId, trigger: Trigger, request: Option<String> },
    /// Something stands in its way.
    Blocked { due: Due, finding: Finding },
    /// It was asked for and cannot be done.
    Impossible { due: Due, finding: Finding },
    /// The new secret is published.
    Completed { trigger: Trigger, request: Option<String> },
    /// The new secret was removed again, unpublished.
    Withdrawn { trigger: Trigger, request: Option<String> },
}

impl Progress {
    /// How long a secret that was replaced in the pass stays valid: where it was lost, only as long as who has read it may need.
    pub fn overlap(&self, policy: &Policy) -> Duration {
        match self {
            Self::Completed { trigger, .. } | Self::Publishing { trigger, .. } if !trigger.leaves_nothing() => {
                policy.overlap()
            }
            _ => policy.retirement(),
        }
    }
}

/// What is kept of rotations after a pass. `first`: there was no published secret before, so that whatever the annotations
/// ask for is fulfilled; but for what leaked, if one from before is valid still.
pub fn status_after(
    app: &ExternalApplication,
    progress: &Progress,
    first: bool,
    now: Timestamp,
) -> Option<RotationStatus> {
    let mut status = app.status.as_ref().and_then(|status| status.rotation.clone()).unwrap_or_default();
    let none = BTreeMap::new();
    let annotations = app.metadata.annotations.as_ref().unwrap_or(&none);
    let asked = |key: &str| annotations.get(key).map(|value| shortened(value));
    refresh(&mut status, asked);
    if first {
        remember(&mut status, Trigger::Requested, asked(ROTATE));
        remember(&mut status, Trigger::RolledBack, asked(ROLLBACK));
        let credentials = app.status.iter().flat_map(|status| &status.credentials);
        if !credentials.into_iter().any(|credential| credential.kind == CredentialKind::Secret) {
            remember(&mut status, Trigger::Leaked, asked(REVOKE_NOW));
        }
    }
    match progress {
        Progress::Rest
        | Progress::Waiting { .. }
        | Progress::Proving { .. }
        | Progress::Publishing { .. }
        | Progress::Blocked { .. } => {}
        Progress::Impossible { due, .. } => remember(&mut status, due.trigger, due.request.clone()),
        Progress::Completed { trigger, request } => {
            remember(&mut status, *trigger, request.clone());
            status.last_time = Some(whole(now));
            status.last_trigger = Some(trigger.as_str().to_owned());
            status.failed_time = None;
        }
        Progress::Withdrawn { trigger, request } => {
            remember(&mut status, *trigger, request.clone());
            status.failed_time = Some(whole(now));
        }
    }
    (status != RotationStatus::default()).then_some(status)
}

/// When the next rotation begins by itself, after a pass that leaves this behind.
pub fn next_time(
    app: &ExternalApplication,
    credentials: &[CredentialStatus],
    rotation: Option<&RotationStatus>,
    now: Timestamp,
) -> Option<Timestamp> {
    super::with_facts(app, credentials, rotation, now, super::next_time).flatten()
}

/// When to look again because of a rotation, after a pass that leaves this behind; never at once again and again.
pub fn next_look(app: &ExternalApplication, valid: &Valid, achieved: &Achieved, now: Timestamp) -> Option<Timestamp> {
    let soon = later(now, Duration::from_secs(5));
    match &achieved.rotation {
        Progress::Waiting { until, .. } => Some(*until.max(&later(now, Duration::from_millis(200)))),
        Progress::Proving { since, .. } => Some(super::proof::next_try(*since, now)),
        Progress::Blocked { .. } => Some(later(now, BLOCKED)),
        // What a replaced secret leaves behind goes in the next pass.
        Progress::Completed { .. } => Some(later(now, Duration::from_secs(1))),
        progress => {
            let first = app.status.as_ref().is_none_or(|status| super::current(&status.credentials).is_none());
            let rotation = status_after(app, progress, first, now);
            let credentials = &achieved.credentials;
            // A server that gives no other secret was asked for more time in this pass, and is not asked again and again.
            let fixed = valid.server.capabilities.secrets == Secrets::Fixed;
            // Of several requests each has a pass of its own.
            if super::with_facts(app, credentials, rotation.as_ref(), now, super::due).flatten().is_some() {
                return Some(later(now, if fixed { AGAIN } else { Duration::from_secs(1) }));
            }
            let next = next_time(app, credentials, rotation.as_ref(), now)?;
            Some(next.max(soon))
        }
    }
}

/// Whether a secret that is not accepted may have been removed at the server, so that it is worth a request to look: as soon
/// as it would have to show there, and once more before it is given up. Not at every try: there are many.
pub fn is_perhaps_gone(progress: &Progress, now: Timestamp) -> bool {
    let Progress::Proving { since, until, .. } = progress else { return false };
    let shows = later(*since, READ_LAG);
    let within = |from: Timestamp| now >= from && now < later(from, LOOK);
    within(shows) || later(now, LOOK) >= *until
}

/// The condition, or its absence, or `None` where what was said before still holds.
pub fn condition(
    valid: &Valid,
    progress: &Progress,
    status: Option<&RotationStatus>,
    old: &[Condition],
) -> Option<Wanted<'static>> {
    let wanted = |state| Some(Wanted { kind: ROTATED, state });
    let no = |reason, message: String| wanted(Some((false, reason, message)));
    match progress {
        Progress::Waiting { due, .. } => {
            return no(
                Reason::RotationWaiting,
                format!(
                    "a rotation ({}) is due and waits for its turn: spec.rotation of the AuthorizationServer says how many go at once",
                    due.trigger.as_str()
                ),
            );
        }
        Progress::Proving { id, since, until, answer, .. } => {
            let says = match answer {
                Answer::Nothing => "does not answer whether it accepts it",
                Answer::Refused | Answer::Accepted => "does not accept it yet",
            };
            return no(
                Reason::Proving,
                format!(
                    "secret {id} was added at {since} and the token endpoint {says}; the one before stays published. It is tried until {until}"
                ),
            );
        }
        Progress::Publishing { id, trigger, .. } => {
            let rest = if *trigger == Trigger::Leaked { ", and what leaked is not removed yet" } else { "" };
            return no(
                Reason::Progressing,
                format!(
                    "secret {id} takes the place of the one before, and not all of that is done yet{rest}: Ready and the Events say what keeps it"
                ),
            );
        }
        Progress::Impossible { finding, .. } | Progress::Blocked { finding, .. } => {
            return no(finding.reason, finding.message.clone());
        }
        Progress::Rest | Progress::Completed { .. } | Progress::Withdrawn { .. } => {}
    }
    if let Some(failed) = status.and_then(|status| status.failed_time.as_ref()) {
        return no(
            Reason::ProofFailed,
            format!(
                "the token endpoint did not accept the new secret, which was withdrawn at {}; the one before stays published. It is tried again from {} on, or at once with a new value of the annotation {ROTATE}",
                failed.0,
                later(failed.0, AGAIN)
            ),
        );
    }
    let refused = [Reason::RollbackImpossible.as_str(), Reason::NotSupported.as_str()];
    let said = |condition: &Condition| condition.type_ == ROTATED && refused.contains(&condition.reason.as_str());
    if *progress == Progress::Rest && old.iter().any(said) {
        return None;
    }
    wanted(settled(&valid.rotation, valid, status))
}

/// What is said while all is well; nothing where nothing was ever rotated and nothing is planned.
fn settled(policy: &Policy, valid: &Valid, status: Option<&RotationStatus>) -> Option<(bool, Reason, String)> {
    let last = status.and_then(|status| Some((status.last_time.as_ref()?.0, status.last_trigger.as_deref()?)));
    let planned = policy.interval.or(policy.max_age).is_some();
    // Where every rotation has a gap, that is said before anybody asks for one.
    let gap = valid.server.capabilities.secrets == Secrets::One;
    if !valid.keeps_secret() || (last.is_none() && !planned && !gap) {
        return None;
    }
    let mut message = match last {
        Some((time, trigger)) => format!("the secret was replaced at {time} ({trigger})"),
        None if planned => "the secret is as young as the spec asks for".to_owned(),
        None => "no rotation is planned, and none was asked for".to_owned(),
    };
    if gap {
        message.push_str(
            "; this server keeps one secret: at each rotation the old one ends at the moment the new one is made, just before it is published, and files in pods follow about a minute later",
        );
    }
    Some((true, Reason::Rotated, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::NOON;

    #[test]
    fn what_was_lost_stays_valid_for_an_hour_and_what_was_replaced_for_the_overlap() {
        let policy = Policy::of(&crate::domain::fixtures::app()).expect("a policy");
        let publishing = |trigger| Progress::Publishing { id: SecretId::new("2"), trigger, request: None };
        let completed = |trigger| Progress::Completed { trigger, request: None };
        for (progress, hours) in [
            (completed(Trigger::Schedule), 24),
            (publishing(Trigger::Schedule), 24),
            (completed(Trigger::Lost), 1),
            (publishing(Trigger::Lost), 1),
            (publishing(Trigger::Gone), 1),
            (Progress::Rest, 1),
        ] {
            assert_eq!(progress.overlap(&policy), Duration::from_hours(hours), "{progress:?}");
        }
    }

    #[test]
    fn the_first_secret_settles_what_was_asked_for_unless_one_that_leaked_is_valid_still() {
        use crate::domain::fixtures::{app, settled};
        let mut app = settled(app(), "id-7", "1");
        app.metadata.annotations = Some([ROTATE, REVOKE_NOW].map(|key| (key.to_owned(), "now".to_owned())).into());
        let after = |app: &ExternalApplication| status_after(app, &Progress::Rest, true, NOON).unwrap_or_default();
        let settled = after(&app);
        assert_eq!((settled.rotate.as_deref(), settled.revoke_now), (Some("now"), None));
        app.status.as_mut().expect("a status").credentials.clear();
        assert_eq!(after(&app).revoke_now.as_deref(), Some("now"));
    }

    #[test]
    fn a_secret_that_is_not_accepted_is_looked_for_when_it_must_show_and_before_it_is_given_up() {
        let until = later(NOON, Duration::from_mins(5));
        let proving = Progress::Proving {
            id: SecretId::new("2"),
            since: NOON,
            until,
            answer: Answer::Refused,
            trigger: Trigger::Requested,
            request: None,
        };
        let looked = |seconds| is_perhaps_gone(&proving, later(NOON, Duration::from_secs(seconds)));
        let found: Vec<u64> = (0..=300).step_by(10).filter(|seconds| looked(*seconds)).collect();
        assert_eq!(found, [20, 30, 40, 270, 280, 290, 300]);
        assert!(!is_perhaps_gone(&Progress::Rest, until));
    }
}
