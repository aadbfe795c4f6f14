//! A server's failures: whom they concern, and what is said of them.

use std::time::Duration;

use crate::domain::observed::{Finding, Retry};
use crate::server::ServerError;

/// Failures that the next application would meet just the same.
pub fn concerns_everybody(error: &ServerError) -> bool {
    matches!(error, ServerError::Unreachable { .. } | ServerError::Timeout | ServerError::Unauthorized)
}

/// The shortest wait before a server is asked again.
const LEAST: Duration = Duration::from_secs(1);

/// A server's failure in the words of the domain.
pub fn finding(error: &ServerError) -> Finding {
    let (reason, message) = (error.reason(), error.to_string());
    // A server may say "now": then it would be asked without end.
    let after = |wait: Duration| Retry::After(wait.max(LEAST));
    match error {
        ServerError::Ambiguous => Finding::passing(reason, message, Retry::After(Duration::from_millis(500))),
        ServerError::Unauthorized
        | ServerError::Forbidden { .. }
        | ServerError::Rejected { .. }
        | ServerError::Unsupported { .. }
        | ServerError::OutOfReach { .. } => Finding::stalled(reason, message).looked_at_again(),
        ServerError::RateLimited { retry_after: Some(wait) } | ServerError::Budget { retry_after: wait } => {
            Finding::passing(reason, message, after(*wait))
        }
        ServerError::Unreachable { .. }
        | ServerError::Timeout
        | ServerError::NotFound
        | ServerError::Conflict { .. }
        | ServerError::Unrecorded { .. }
        | ServerError::NotYet { .. }
        | ServerError::RateLimited { retry_after: None }
        | ServerError::Failed { .. }
        | ServerError::Unintelligible { .. } => Finding::passing(reason, message, Retry::Backoff),
    }
}
