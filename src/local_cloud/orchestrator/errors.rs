//! Answers of Orchestrator that refuse something.
//!
//! Two shapes occur: `message`, `errorCode` and `traceId` for what is wrong with a request, and the envelope of the
//! ABP framework for a permission that is missing. Which status goes with which code is documented for few of them;
//! the choices are all here.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::local_cloud::clock::NoEntropy;
use crate::local_cloud::errors::{self, ApiError};
use crate::local_cloud::limits::Exceeded;
use crate::local_cloud::store::StoreError;

/// Why Orchestrator refuses a request.
#[derive(Debug)]
pub enum Refusal {
    /// 401: no token, one that isn't valid here, or one without any scope of Orchestrator.
    Unauthorized,
    /// 403: neither a scope nor a role permits this.
    Forbidden,
    /// 404 without a body of Orchestrator's: no such tenant, no such address.
    NoSuchAddress,
    /// 405.
    MethodNotAllowed,
    /// 413.
    TooLarge,
    /// 415: a body that isn't JSON.
    UnsupportedMediaType,
    /// 429.
    TooManyRequests(Exceeded),
    /// Anything with a code of Orchestrator's.
    Coded {
        /// The HTTP status.
        status: StatusCode,
        /// For programs.
        code: u32,
        /// For people.
        message: String,
    },
    /// 500: the stand-in itself failed; the cause is in its log.
    Internal,
}

impl Refusal {
    fn coded(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self::Coded { status, code, message: message.into() }
    }

    /// A request against the rules.
    pub fn invalid(why: impl std::fmt::Display) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, 1000, format!("The input was not valid. {why}"))
    }

    /// Query options, or an address, that OData cannot make sense of.
    pub fn query(why: impl std::fmt::Display) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, 1000, format!("Invalid OData query options. {why}"))
    }

    /// A name, or a principal, that is there already.
    pub fn taken(what: impl Into<String>) -> Self {
        Self::coded(StatusCode::CONFLICT, 1001, what)
    }

    /// What exists cannot go, or change, because of something else.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::coded(StatusCode::CONFLICT, 1000, why)
    }

    /// No such role, user or queue.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::coded(StatusCode::NOT_FOUND, 1002, what)
    }

    /// No such folder, or none for this caller: the two look the same.
    pub fn no_folder() -> Self {
        let message = "Folder does not exist or the user does not have access to the folder.";
        Self::coded(StatusCode::NOT_FOUND, 1100, message)
    }

    /// A request for what lies in a folder, that does not say in which.
    pub fn folder_required() -> Self {
        Self::coded(StatusCode::BAD_REQUEST, 1101, "An organization unit is required for this action.")
    }

    /// What an assign action answers that belongs to the other kind of deployment.
    pub fn unknown_failure() -> Self {
        Self::coded(StatusCode::INTERNAL_SERVER_ERROR, 0, "An unknown failure has occurred.")
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self::Internal
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<NoEntropy> for Refusal {
    fn from(error: NoEntropy) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self::Internal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, Json(not_authorized())).into_response(),
            Self::NoSuchAddress => ApiError::NotFound.into_response(),
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED.into_response(),
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
            Self::UnsupportedMediaType => ApiError::UnsupportedMediaType.into_response(),
            Self::TooManyRequests(exceeded) => ApiError::TooManyRequests(exceeded).into_response(),
            Self::Coded { status, code, message } => {
                let body = json!({ "message": message, "errorCode": code, "traceId": errors::trace_id() });
                (status, Json(body)).into_response()
            }
            Self::Internal => ApiError::Internal.into_response(),
        }
    }
}

fn not_authorized() -> serde_json::Value {
    let message = "You are not authorized!";
    json!({
        "__abp": true,
        "error": {
            "code": 0,
            "message": message,
            "details": "You are not allowed to perform this operation.",
            "validationErrors": null,
        },
        "errorCode": 0,
        "message": message,
        "result": null,
        "success": false,
        "targetUrl": null,
        "unAuthorizedRequest": true,
    })
}
