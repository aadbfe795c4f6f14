//! Answers that refuse something.
//!
//! Three shapes occur, as at Automation Cloud: nothing at all (401, 403), ASP.NET's problem details for what could
//! not be bound to a parameter (and 404), and a business refusal with `code` and `message`. The envelope of the last
//! is not documented; this one is a choice.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

use super::clock::{self, NoEntropy};
use super::keys::KeyError;
use super::limits::Exceeded;
use super::store::StoreError;

/// Why the Identity management API refuses a request.
#[derive(Debug)]
pub enum ApiError {
    /// 401: no token, or one that isn't valid here.
    Unauthorized,
    /// 403: a valid token without the scope.
    Forbidden,
    /// 400: a parameter cannot be read.
    Binding {
        /// The parameter's name as the client wrote it.
        field: &'static str,
        /// For people.
        message: String,
    },
    /// 400: readable, but against the rules.
    Business {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// 404.
    NotFound,
    /// 415: a body that isn't JSON.
    UnsupportedMediaType,
    /// 429.
    TooManyRequests(Exceeded),
    /// 500: the stand-in itself failed; the cause is in its log.
    Internal,
}

impl ApiError {
    /// A value that is there but cannot be read, in the words that Automation Cloud uses.
    pub fn not_valid(field: &'static str, value: &str) -> Self {
        Self::Binding { field, message: format!("The value '{value}' is not valid.") }
    }

    /// A value that is missing.
    pub fn required(field: &'static str) -> Self {
        Self::Binding { field, message: format!("The {field} field is required.") }
    }

    /// A business refusal.
    pub fn business(code: &'static str, message: impl Into<String>) -> Self {
        Self::Business { code, message: message.into() }
    }

    /// What the calls for federated credentials get for an application that the organization does not know, or does not
    /// know yet: Automation Cloud takes a moment after an application was made.
    pub fn not_in_partition() -> Self {
        Self::business("InvalidRequest", "Client not found in partition")
    }

    /// What a call gets that names no organization in its path, or another one than its token's.
    pub fn invalid_partition() -> Self {
        Self::business("InvalidPartition", "The partition of the request is not valid.")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self::Internal
    }
}

impl From<NoEntropy> for ApiError {
    fn from(error: NoEntropy) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self::Internal
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self::Internal
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))])
                    .into_response()
            }
            Self::Forbidden => StatusCode::FORBIDDEN.into_response(),
            Self::Binding { field, message } => {
                let mut body = problem(StatusCode::BAD_REQUEST, "One or more validation errors occurred.");
                body["errors"] = json!({ field: [message] });
                problem_response(StatusCode::BAD_REQUEST, &body)
            }
            Self::Business { code, message } => {
                let body = json!({ "code": code, "message": message, "traceId": trace_id() });
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
            Self::NotFound => plain_problem(StatusCode::NOT_FOUND, "Not Found"),
            Self::UnsupportedMediaType => plain_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"),
            Self::TooManyRequests(exceeded) => too_many_requests(exceeded),
            Self::Internal => plain_problem(StatusCode::INTERNAL_SERVER_ERROR, "An error occurred."),
        }
    }
}

fn too_many_requests(exceeded: Exceeded) -> Response {
    let mut response = (StatusCode::TOO_MANY_REQUESTS, "API calls quota exceeded").into_response();
    if let Some(seconds) = exceeded.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn plain_problem(status: StatusCode, title: &str) -> Response {
    problem_response(status, &problem(status, title))
}

fn problem(status: StatusCode, title: &str) -> serde_json::Value {
    json!({
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5",
        "title": title,
        "status": status.as_u16(),
        "traceId": trace_id(),
    })
}

fn problem_response(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))], body.to_string())
        .into_response()
}

/// A W3C trace identifier; empty if there is no randomness, because an answer matters more.
pub fn trace_id() -> String {
    let (Ok(trace), Ok(span)) = (clock::random_bytes(), clock::random_bytes()) else { return String::new() };
    format!("00-{:032x}-{:016x}-00", u128::from_be_bytes(trace), u64::from_be_bytes(span))
}

/// The page that Automation Cloud's single-page application serves, with status 200, for whatever it doesn't know.
pub fn web_page() -> Response {
    Html(
        "<!doctype html>\n<html lang=\"en\"><head><title>UiPath stand-in</title></head>\
         <body><div id=\"root\"></div></body></html>\n",
    )
    .into_response()
}
