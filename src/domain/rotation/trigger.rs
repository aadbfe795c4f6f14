//! Why a secret is replaced, and what depends on that.

use std::time::Duration;

use strum::{EnumIter, EnumString, IntoStaticStr};

use super::pacing::Urgency;
use super::{PROOF, URGENT_PROOF};
use crate::api::rotation::RotationStatus;
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

/// The value of an annotation that was last carried out.
pub(super) fn handled(status: &RotationStatus, trigger: Trigger) -> Option<&str> {
    match trigger {
        Trigger::Requested => status.rotate.as_deref(),
        Trigger::Leaked => status.revoke_now.as_deref(),
        Trigger::RolledBack => status.rollback.as_deref(),
        _ => None,
    }
}
