//! What can go wrong at an authorization server, as facts. No variant carries a body, a header or a secret.

use std::time::Duration;

pub use super::text::ServerText;
use crate::domain::reason::Reason;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The request was never sent: name resolution, connection refused, TLS, or no token to send it with.
    #[error("the server cannot be reached: {what}")]
    Unreachable { what: &'static str },
    /// No answer in time, or the connection broke before the whole answer was there.
    #[error("the server did not answer in time")]
    Timeout,
    /// The answer to a create was lost: what it creates may or may not exist.
    #[error("the answer to create was lost")]
    Ambiguous,
    #[error(
        "the server refused the operator's credentials: check client-id and client-secret in the Secret that credentialsRef names"
    )]
    Unauthorized,
    #[error("the operator's credentials are not permitted to do this: give them {needed}")]
    Forbidden { needed: &'static str },
    #[error("there is no such registration at the server")]
    NotFound,
    #[error("the server refused the request as conflicting: {text}")]
    Conflict { text: ServerText },
    /// The server will not take these values, now or later.
    #[error("the server refused the request: {text}")]
    Rejected { text: ServerText },
    /// This kind of server, or this one, cannot do it.
    #[error("{what}")]
    Unsupported { what: &'static str },
    /// The operator knows the registration and cannot manage it (any more).
    #[error("{what}")]
    OutOfReach { what: &'static str },
    /// What must be kept of a registration could not be read or written in the cluster. Nothing was left behind.
    #[error("{what}")]
    Unrecorded { what: &'static str },
    /// The server knows the registration, and not everywhere yet: it was just made.
    #[error("{what}")]
    NotYet { what: &'static str },
    #[error("the server limits requests")]
    RateLimited { retry_after: Option<Duration> },
    /// Our own budget for this server is spent; nothing was sent.
    #[error("the request budget of this server is spent")]
    Budget { retry_after: Duration },
    #[error("the server failed with HTTP status {status}")]
    Failed { status: u16 },
    /// HTML, truncated JSON, an oversized body, a redirect: usually a wrong url or organization.
    #[error("the server gave an answer that is not of this API ({what}): check url, organization and deployment")]
    Unintelligible { what: &'static str },
}

impl ServerError {
    /// The word for it in conditions, Events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { .. } => Reason::ServerUnreachable,
            Self::Timeout => Reason::ServerTimeout,
            Self::Ambiguous => Reason::OutcomeUnknown,
            Self::Unauthorized => Reason::CredentialsRefused,
            Self::Forbidden { .. } => Reason::PermissionDenied,
            Self::NotFound => Reason::RegistrationMissing,
            Self::Conflict { .. } => Reason::ServerConflict,
            Self::Rejected { .. } => Reason::RejectedByServer,
            Self::Unsupported { .. } => Reason::NotSupported,
            Self::OutOfReach { .. } => Reason::RegistrationOutOfReach,
            Self::Unrecorded { .. } => Reason::KubernetesRefused,
            Self::NotYet { .. } => Reason::Progressing,
            Self::RateLimited { .. } | Self::Budget { .. } => Reason::RateLimited,
            Self::Failed { .. } => Reason::ServerFailed,
            Self::Unintelligible { .. } => Reason::UnexpectedAnswer,
        }
    }

    /// Whether a create that failed like this certainly left nothing behind. The others must be settled by looking,
    /// never by a repetition.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::Rejected { .. }
            | Self::Unsupported { .. }
            | Self::OutOfReach { .. }
            | Self::Unrecorded { .. }
            | Self::NotYet { .. }
            | Self::RateLimited { .. }
            | Self::Budget { .. } => true,
            Self::Timeout | Self::Ambiguous | Self::Failed { .. } | Self::Unintelligible { .. } => false,
        }
    }

    /// The same failure, before a create was sent: nothing can have been left behind.
    pub(super) fn before_a_create(self) -> Self {
        match self {
            Self::Timeout => Self::Unreachable { what: "no token in time" },
            Self::Failed { .. } => Self::Unreachable { what: "its token endpoint failed" },
            Self::Unintelligible { .. } => {
                Self::Unreachable { what: "no token endpoint there: check url, organization and deployment" }
            }
            definite => definite,
        }
    }

    /// The same failure, after a create was sent: whatever is not a clear refusal leaves the outcome unknown.
    pub(super) fn of_a_create(self) -> Self {
        if self.is_definite() { self } else { Self::Ambiguous }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ServerError, ServerText};

    fn all() -> Vec<ServerError> {
        let text = ServerText::quote("no", &[]);
        vec![
            ServerError::Unreachable { what: "refused" },
            ServerError::Timeout,
            ServerError::Ambiguous,
            ServerError::Unauthorized,
            ServerError::Forbidden { needed: "PM.OAuthApp" },
            ServerError::NotFound,
            ServerError::Conflict { text: text.clone() },
            ServerError::Rejected { text },
            ServerError::Unsupported { what: "no" },
            ServerError::OutOfReach { what: "no token" },
            ServerError::Unrecorded { what: "no record" },
            ServerError::NotYet { what: "not yet" },
            ServerError::RateLimited { retry_after: None },
            ServerError::Budget { retry_after: Duration::from_secs(1) },
            ServerError::Failed { status: 503 },
            ServerError::Unintelligible { what: "HTML" },
        ]
    }

    #[test]
    fn a_failure_before_a_create_is_always_definite() {
        assert!(all().into_iter().filter(|e| *e != ServerError::Ambiguous).all(|e| e.before_a_create().is_definite()));
    }

    #[test]
    fn a_failure_after_a_create_was_sent_is_a_clear_refusal_or_ambiguous() {
        assert!(
            all().into_iter().map(ServerError::of_a_create).all(|e| e.is_definite() || e == ServerError::Ambiguous)
        );
    }
}
