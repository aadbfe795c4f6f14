//! Where a person lands whose request cannot be answered to the client. It is a page of this server, so that nobody is
//! sent to an address that no application has registered.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::form::Form;
use crate::local_cloud::clock;
use crate::local_cloud::cloud::Cloud;
use crate::local_cloud::pages::{self, Message};

/// 100-nanosecond ticks from the year 1 to the Unix epoch, as .NET counts.
const EPOCH_TICKS: i64 = 621_355_968_000_000_000;

/// What can be wrong so early: error code, and description as the client's developer sees it.
pub type Mistake = (&'static str, &'static str);

pub const UNKNOWN_CLIENT: Mistake = ("unauthorized_client", "Unknown client or client not enabled");
pub const INVALID_REDIRECT_URI: Mistake = ("invalid_request", "Invalid redirect_uri");
pub const INVALID_STATE: Mistake = ("invalid_request", "Invalid state");
pub const MALFORMED: Mistake = ("invalid_request", "Malformed request");

const MISTAKES: [Mistake; 4] = [UNKNOWN_CLIENT, INVALID_REDIRECT_URI, INVALID_STATE, MALFORMED];

/// A redirect to the page, with the details in base64url as Automation Cloud gives them.
pub fn redirect(cloud: &Cloud, (error, description): Mistake, client_id: Option<&str>) -> Response {
    let request_id = clock::random_uuid().map(|id| id.simple().to_string()).unwrap_or_default();
    let details = json!({
        "Created": EPOCH_TICKS + cloud.clock.now_milliseconds() * 10_000,
        "Data": {
            "Error": error,
            "ErrorDescription": description,
            "RequestId": request_id,
            "ActivityId": request_id,
            "RedirectUri": Value::Null,
            "ClientId": client_id,
        },
    });
    let id = URL_SAFE_NO_PAD.encode(details.to_string());
    see_other(&format!("{}/web/?errorCode={error}&errorId={id}", cloud.issuer))
}

/// A redirect after which the browser asks with GET, so that no password is sent on (RFC 9700 section 4.12).
pub fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    pages::keep_private(response.headers_mut());
    response
}

/// `GET /web/`. Anybody can make up such an address, so the page says only what the stand-in itself could have said.
pub async fn show(State(cloud): State<Arc<Cloud>>, RawQuery(query): RawQuery) -> Response {
    let form = Form::read(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let told = form.get("errorId").and_then(mistake).filter(|(error, _)| form.get("errorCode") == Some(error));
    let (title, text, code) = match told {
        Some((error, description)) => (description, explanation(description), Some(error)),
        None => ("Nothing to see here", "Start from the application that you want to use.", None),
    };
    let status = if told.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Message { title, text, code }.page(&cloud.organization.name, status)
}

fn mistake(id: &str) -> Option<Mistake> {
    let details: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    let data = details.get("Data")?;
    MISTAKES.into_iter().find(|(error, description)| {
        data.get("Error").is_some_and(|found| found == error)
            && data.get("ErrorDescription").is_some_and(|found| found == description)
    })
}

fn explanation(description: &str) -> &'static str {
    if description == UNKNOWN_CLIENT.1 {
        "The application that sent you here is not registered. Its client_id may be mistyped, or it may be gone."
    } else if description == INVALID_REDIRECT_URI.1 {
        "The application asked to be answered at an address that it has not registered. Addresses must be the same to \
         the last character, a slash at the end included."
    } else {
        "The application that sent you here made a request that cannot be read."
    }
}
