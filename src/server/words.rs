//! What refusals tell people: the shapes in which servers answer errors, and how to tell a gateway's page from them. Pure.

use serde_json::Value;

use super::http::Answer;

/// The code of an OAuth error (RFC 6749 section 5.2) and its description.
pub(super) fn oauth_error(answer: &Answer) -> Option<(String, Option<String>)> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some((string(&body, "error")?, string(&body, "error_description")))
}

/// Whether this is a page for people: a gateway's, or a log-in.
pub(super) fn is_html(answer: &Answer) -> bool {
    let typed = answer.content_type.as_deref().is_some_and(|kind| kind.contains("html"));
    typed || answer.body.trim_ascii_start().starts_with(b"<")
}

/// The shapes of errors, the most telling first.
const SHAPES: [fn(&Value) -> Option<String>; 5] = [oauth, nested, fields, top, bare];

/// What a refusal tells people, whichever shape it has.
pub(super) fn message(answer: &Answer) -> Option<String> {
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

/// `{message, errorCode, traceId}`: Orchestrator; `{errorMessage}`: Keycloak; `{title, detail}`: problem details
/// (RFC 9457).
fn top(body: &Value) -> Option<String> {
    string(body, "message")
        .or_else(|| string(body, "errorMessage"))
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
