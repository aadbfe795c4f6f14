//! From an answer to its meaning: status, content type and body to a value or a typed error. Pure.
//!
//! UiPath's services answer errors in five shapes, and gateways before them answer HTML. Of a body nothing is
//! quoted but the fields that the five shapes mean for people.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::operation::{Operation, Service};
use super::readings;
use crate::server::http::Answer;
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

/// The code of an OAuth error (RFC 6749 section 5.2) and its description.
pub(super) fn oauth_error(answer: &Answer) -> Option<(String, Option<String>)> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some((string(&body, "error")?, string(&body, "error_description")))
}

fn is_html(answer: &Answer) -> bool {
    let typed = answer.content_type.as_deref().is_some_and(|kind| kind.contains("html"));
    typed || answer.body.trim_ascii_start().starts_with(b"<")
}

/// Orchestrator's own refusals have a code.
fn has_error_code(answer: &Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["errorCode"].is_i64())
}

/// ABP says so in a field of its own, under several statuses.
fn is_unauthorized(answer: &Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["unAuthorizedRequest"] == true)
}

/// The shapes of errors, the most telling first.
const SHAPES: [fn(&Value) -> Option<String>; 5] = [oauth, nested, fields, top, bare];

/// What a refusal tells people, whichever shape it has.
fn message(answer: &Answer) -> Option<String> {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        let plain = answer.content_type.as_deref().is_some_and(|kind| kind.starts_with("text/plain"));
        return plain.then(|| String::from_utf8_lossy(&answer.body).into_owned()).filter(|text| !text.is_empty());
    };
    SHAPES.iter().find_map(|shape| shape(&body))
}

/// `{error, error_description}`: OAuth.
fn oauth(body: &Value) -> Option<String> {
    joined([string(body, "error")?].into_iter().chain(string(body, "error_description")))
}

/// `{error: {code, message, details}}`: ABP, OData.
fn nested(body: &Value) -> Option<String> {
    let error = body.get("error").filter(|error| error.is_object())?;
    joined(["code", "message", "details"].iter().filter_map(|key| string(error, key)))
}

/// `{errors: {field: [message]}}`: the model-binding form of problem details.
fn fields(body: &Value) -> Option<String> {
    let errors = body.get("errors")?.as_object()?;
    let of_field = |(field, messages): (&String, &Value)| {
        let words: Vec<&str> = messages.as_array()?.iter().filter_map(Value::as_str).collect();
        Some(format!("{field}: {}", words.join(" ")))
    };
    let all: Vec<String> = errors.iter().filter_map(of_field).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// `{message, errorCode, traceId}`: Orchestrator; `{title, detail}`: problem details (RFC 9457).
fn top(body: &Value) -> Option<String> {
    string(body, "message")
        .or_else(|| joined(["code", "title", "detail"].iter().filter_map(|key| string(body, key))))
        .or_else(|| string(body, "code"))
}

fn bare(body: &Value) -> Option<String> {
    body.as_str().map(str::to_owned)
}

fn string(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn joined(words: impl Iterator<Item = String>) -> Option<String> {
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(": "))
}

#[cfg(test)]
mod tests;
