//! Why a secret is replaced, and what depends on that.

use std::time::Duration;

use strum::{EnumIter, EnumString, IntoStaticStr};

use super::pacing::Urgency;
use super::{PROOF, URGENT_PROOF};
use crate::api::rotation::{RotationRequest, RotationStatus};
use crate::api::{REVOKE_NOW, ROLLBACK, ROTATE};

/// Why a secret is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, EnumString, EnumIter)]
pub enum Trigger {
    /// `spec.rotation.interval` has passed.
    Schedule,
    /// It has reached `spec.rotation.maxAge`.
    MaxAge,
    /// It ends soon at the server.
    Expiry,
    /// The annotation `extapp.dev/rotate`.
    Requested,
    /// The annotation `extapp.dev/revoke-now`.
    Leaked,
    /// The annotation `extapp.dev/rollback`.
    RolledBack,
    /// The server does not have it any more.
    Gone,
    /// No object carries it any more, or one that somebody has changed.
    Lost,
}

impl Trigger {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Who goes first where many are due.
    pub fn urgency(self) -> Urgency {
        match self {
            Self::Leaked | Self::Gone | Self::Lost => Urgency::Immediate,
            Self::Requested | Self::RolledBack => Urgency::Requested,
            Self::Schedule | Self::MaxAge | Self::Expiry => Urgency::Scheduled,
        }
    }

    /// The annotation that asks for it.
    pub(super) fn annotation(self) -> Option<&'static str> {
        match self {
            Self::Requested => Some(ROTATE),
            Self::Leaked => Some(REVOKE_NOW),
            Self::RolledBack => Some(ROLLBACK),
            _ => None,
        }
    }

    /// Whether there was no secret left that workloads could have gone on with.
    pub fn leaves_nothing(self) -> bool {
        matches!(self, Self::Gone | Self::Lost)
    }

    /// How long the server may take to accept what replaces the secret.
    pub fn patience(self) -> Duration {
        if self == Self::Leaked { URGENT_PROOF } else { PROOF }
    }
}

/// How many values of each annotation are remembered beside the last one.
const REMEMBERED: usize = 20;

/// Whether what this value of an annotation asks for was carried out. A value that comes back, as from a repository that does
/// not know what was asked for meanwhile, asks for nothing.
pub(super) fn is_handled(status: &RotationStatus, trigger: Trigger, value: &str) -> bool {
    let Some(annotation) = trigger.annotation() else { return false };
    let last = match trigger {
        Trigger::Requested => &status.rotate,
        Trigger::Leaked => &status.revoke_now,
        _ => &status.rollback,
    };
    let before = |request: &RotationRequest| request.annotation == annotation && request.value == value;
    last.as_deref() == Some(value) || status.earlier.iter().any(before)
}

/// Remembers that it was.
pub(super) fn remember(status: &mut RotationStatus, trigger: Trigger, value: Option<String>) {
    let (Some(annotation), Some(value)) = (trigger.annotation(), value) else { return };
    let place = match trigger {
        Trigger::Requested => &mut status.rotate,
        Trigger::Leaked => &mut status.revoke_now,
        _ => &mut status.rollback,
    };
    let before = place.replace(value.clone()).filter(|before| *before != value);
    let is = |request: &RotationRequest, value: &str| request.annotation == annotation && request.value == value;
    status.earlier.retain(|request| !is(request, &value));
    if let Some(value) = before {
        status.earlier.insert(0, RotationRequest { annotation: annotation.to_owned(), value });
    }
    let mut of_it = 0;
    status.earlier.retain(|request| {
        of_it += usize::from(request.annotation == annotation);
        request.annotation != annotation || of_it <= REMEMBERED
    });
}

/// Remembers what stands in the annotations still as the latest of what was carried out before: it would be forgotten
/// otherwise, and asked for anew.
pub(super) fn refresh(status: &mut RotationStatus, asked: impl Fn(&str) -> Option<String>) {
    for annotation in [ROTATE, ROLLBACK, REVOKE_NOW] {
        let Some(value) = asked(annotation) else { continue };
        let of_it = |request: &RotationRequest| request.annotation == annotation;
        let first = status.earlier.iter().position(of_it);
        let there = status.earlier.iter().position(|request| of_it(request) && request.value == value);
        if let Some((first, there)) = first.zip(there).filter(|(first, there)| first < there) {
            let request = status.earlier.remove(there);
            status.earlier.insert(first, request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_out_is_remembered_even_if_something_else_was_asked_for_since() {
        let mut status = RotationStatus::default();
        for number in 0..30 {
            remember(&mut status, Trigger::Leaked, Some(number.to_string()));
        }
        remember(&mut status, Trigger::Requested, Some("29".to_owned()));
        remember(&mut status, Trigger::Requested, None);
        remember(&mut status, Trigger::Leaked, Some("20".to_owned()));
        assert!(status.earlier.iter().all(|request| request.value != "20"), "one that comes again is not there twice");
        remember(&mut status, Trigger::Leaked, Some("29".to_owned()));
        assert_eq!((status.revoke_now.as_deref(), status.rotate.as_deref()), (Some("29"), Some("29")));
        let handled = |trigger, value| is_handled(&status, trigger, value);
        assert!(handled(Trigger::Leaked, "29") && handled(Trigger::Leaked, "9") && !handled(Trigger::Leaked, "8"));
        assert!(handled(Trigger::Requested, "29") && !handled(Trigger::Requested, "28"));
        assert!(!handled(Trigger::RolledBack, "29") && !handled(Trigger::Schedule, "29"));
        assert_eq!(status.earlier.len(), REMEMBERED);
    }

    #[test]
    fn what_stands_in_an_annotation_is_not_forgotten_however_often_something_else_is_asked_for() {
        let mut status = RotationStatus::default();
        remember(&mut status, Trigger::Leaked, Some("in the repository".to_owned()));
        for number in 0..100 {
            remember(&mut status, Trigger::Requested, Some(number.to_string()));
            remember(&mut status, Trigger::Leaked, Some(number.to_string()));
            refresh(&mut status, |annotation| (annotation == REVOKE_NOW).then(|| "in the repository".to_owned()));
            assert!(is_handled(&status, Trigger::Leaked, "in the repository"), "after {number}");
        }
        let before = status.clone();
        refresh(&mut status, |annotation| (annotation == REVOKE_NOW).then(|| "in the repository".to_owned()));
        assert_eq!(status, before, "nothing is written for it again and again");
        assert!(status.earlier.len() <= 3 * REMEMBERED);
    }
}
