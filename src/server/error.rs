//! What can go wrong at an authorization server, as facts. No variant carries a body, a header or a secret.

use std::time::Duration;

/// A server's own words, bounded and stripped of anything that could be a secret: fit for a status message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerText(pub(super) String);

impl std::fmt::Display for ServerText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The request was never sent: name resolution, connection refused, TLS.
    #[error("the server cannot be reached: {what}")]
    Unreachable { what: &'static str },
    /// No answer in time, or the connection broke before one came. For a create the outcome is unknown.
    #[error("the server did not answer in time")]
    Timeout,
    /// The answer to a create was lost: the registration may or may not exist.
    #[error("the answer to create was lost")]
    Ambiguous,
    #[error(
        "the server refused the operator's credentials: check client-id and client-secret in the Secret that credentialsRef names"
    )]
    Unauthorized,
    #[error(
        "the operator's credentials are not permitted to do this: give its external application the scope {needed}"
    )]
    Forbidden { needed: &'static str },
    #[error("there is no such registration at the server")]
    NotFound,
    #[error("the server refused the request as conflicting: {text}")]
    Conflict { text: ServerText },
    /// The server will not take these values, now or later.
    #[error("the server refused the request: {text}")]
    Rejected { text: ServerText },
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

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    After(Duration),
    Backoff,
    /// Only a change of the spec or of the server helps; sweeps still look.
    OnChange,
}
