//! Why an OAuth endpoint refuses a request that comes from a client itself (RFC 6749 section 5.2).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::local_cloud::errors::ApiError;

/// A refusal in OAuth's terms.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client is not who it says it is. As at Automation Cloud this is a 400 without a word, but for a client that
    /// used the `Authorization` header, to which RFC 6749 promises a 401.
    InvalidClient {
        /// Whether the client used the header.
        by_header: bool,
    },
    InvalidGrant,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidRequest(Option<String>),
}

impl Refusal {
    /// A request that is malformed in a way that can be said.
    pub fn malformed(why: impl Into<String>) -> Self {
        Self::InvalidRequest(Some(why.into()))
    }

    fn parts(self) -> (StatusCode, &'static str, Option<String>) {
        let status = match self {
            Self::InvalidClient { by_header: true } => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        match self {
            Self::InvalidClient { .. } => (status, "invalid_client", None),
            Self::InvalidGrant => (status, "invalid_grant", None),
            Self::InvalidScope => (status, "invalid_scope", None),
            Self::UnauthorizedClient => (status, "unauthorized_client", None),
            Self::UnsupportedGrantType => (status, "unsupported_grant_type", None),
            Self::InvalidRequest(description) => (status, "invalid_request", description),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error, description) = self.parts();
        let body = match description {
            Some(description) => json!({ "error": error, "error_description": description }),
            None => json!({ "error": error }),
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"identity\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Why there is no ordinary answer.
pub enum Failure {
    Refused(Refusal),
    /// The stand-in itself failed.
    Internal(ApiError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::Internal(error) => error.into_response(),
        }
    }
}

/// Marks an answer that holds credentials as not to be kept (RFC 6749 section 5.1).
pub fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache, max-age=0"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
