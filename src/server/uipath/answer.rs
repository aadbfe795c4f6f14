//! From an answer to its meaning: status, content type and body to a value or a typed error. Pure.
//!
//! UiPath's services answer errors in five shapes, and gateways before them answer HTML. Of a body nothing is
//! quoted but the fields that the five shapes mean for people.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::operation::{Operation, Service};
use super::readings;
use crate::server::http::Answer;
use crate::server::words::{is_html, message};
use crate::server::{ServerError, ServerText};

/// Reads the answers to one request.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) operation: Operation,
    /// What was sent in confidence and must not come back in an error.
    pub(super) secrets: &'a [&'a str],
}

impl Reader<'_> {
    /// The body of a success, decoded.
    ///
    /// `ServerError::Unintelligible` for what is not the JSON that this request is answered with; otherwise as
    /// [`Reader::done`].
    pub(super) fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ServerError> {
        self.done(answer)?;
        if answer.body.is_empty() {
            return Err(ServerError::Unintelligible { what: "nothing in it" });
        }
        serde_json::from_slice(&answer.body).map_err(|error| ServerError::Unintelligible {
            what: if error.is_eof() { "JSON that breaks off" } else { "not the expected JSON" },
        })
    }

    /// A success whose body does not matter. A page in HTML is none, whatever its status.
    pub(super) fn done(&self, answer: &Answer) -> Result<(), ServerError> {
        match answer.status {
            200..=299 if is_html(answer) => Err(ServerError::Unintelligible { what: "HTML" }),
            200..=299 => Ok(()),
            300..=399 => Err(ServerError::Unintelligible { what: "a redirect" }),
            400..=499 => Err(self.refusal(answer)),
            500..=599 => Err(ServerError::Failed { status: answer.status }),
            _ => Err(ServerError::Unintelligible { what: "an unknown HTTP status" }),
        }
    }

    fn refusal(&self, answer: &Answer) -> ServerError {
        match answer.status {
            // The token is good for the server: what it lacks here is a scope or a role.
            401 if self.operation.service == Service::Orchestrator => {
                ServerError::Forbidden { needed: self.operation.needed }
            }
            401 => ServerError::Unauthorized,
            429 => ServerError::RateLimited { retry_after: answer.retry_after },
            _ if is_html(answer) => self.not_this_api("HTML"),
            403 => ServerError::Forbidden { needed: self.operation.needed },
            status if readings::is_absence(status) && self.is_about_a_thing(answer) => ServerError::NotFound,
            404 => self.not_this_api("404 Not Found"),
            409 => ServerError::Conflict { text: self.text(answer) },
            _ if is_unauthorized(answer) => ServerError::Forbidden { needed: self.operation.needed },
            _ => ServerError::Rejected { text: self.text(answer) },
        }
    }

    /// Whether an absence is that of what the request names.
    fn is_about_a_thing(&self, answer: &Answer) -> bool {
        self.operation.names_thing && (!self.operation.coded || has_error_code(answer))
    }

    /// A refusal by something else than the API. What creates was refused all the same: nothing is left behind.
    fn not_this_api(&self, what: &'static str) -> ServerError {
        if self.operation.creates {
            let text = ServerText::ours("this API is not at this address: check url, organization and deployment");
            return ServerError::Rejected { text };
        }
        ServerError::Unintelligible { what }
    }

    fn text(&self, answer: &Answer) -> ServerText {
        let words = message(answer).unwrap_or_else(|| format!("HTTP status {}", answer.status));
        ServerText::quote(&words, self.secrets)
    }
}

/// Orchestrator's own refusals have a code.
fn has_error_code(answer: &Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["errorCode"].is_i64())
}

/// ABP says so in a field of its own, under several statuses.
fn is_unauthorized(answer: &Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["unAuthorizedRequest"] == true)
}

#[cfg(test)]
mod tests;
