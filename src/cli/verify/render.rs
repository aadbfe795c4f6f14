//! The report for people. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::report::{Report, Verdict};
use crate::cli::output::{list, moment, plain};

/// Claims that are times, in seconds since the Unix epoch (RFC 7519 section 4.1, OpenID Connect Core section 2).
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// The report as text, as of this time.
pub fn text(report: &Report, now: Timestamp) -> String {
    let word = match report.verdict {
        Verdict::Verified => "verified: the server gives a token",
        Verdict::Recognised => "recognised",
        Verdict::ScopesMissing => "not verified: scopes are missing",
        Verdict::Refused => "not verified: refused",
        Verdict::NotVerified => "not verified",
    };
    let scopes = |names: &[String]| Some(names.join(" ")).filter(|names| !names.is_empty());
    let mut text = format!("{}/{}: {word}\n", report.namespace, report.name);
    text.push_str(&list(&[
        ("because", report.message.clone()),
        ("client id", report.client_id.clone()),
        ("credential", report.credential.clone()),
        ("token endpoint", report.token_endpoint.clone()),
        ("scopes asked for", scopes(&report.requested_scopes)),
        ("scopes given", report.granted_scopes.as_deref().and_then(scopes)),
        ("token type", report.token_type.clone()),
        ("expires", report.expires_at.map(|time| moment(time, now))),
    ]));
    match &report.claims {
        Some(claims) => {
            text.push_str("\nClaims of the token\n");
            let entries: Vec<(String, Option<String>)> =
                claims.iter().map(|(name, value)| (plain(name), Some(claim(name, value, now)))).collect();
            text.push_str(&list(
                &entries.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>(),
            ));
        }
        None if matches!(report.verdict, Verdict::Verified | Verdict::ScopesMissing) => {
            text.push_str("\nThe token is opaque: only the server can read it.\n");
        }
        None => {}
    }
    text
}

fn claim(name: &str, value: &Value, now: Timestamp) -> String {
    let time = TIMES.contains(&name).then(|| value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok()));
    match (time.flatten(), value) {
        (Some(time), _) => moment(time, now),
        (None, Value::String(text)) => text.clone(),
        (None, Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        (None, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_told_in_words_and_times_as_times() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let told = |name: &str, value: Value| claim(name, &value, now);
        assert_eq!(told("exp", json!(1_003_600)), "1970-01-12T14:46:40Z (in 60m)");
        assert_eq!(told("sub", json!("me")), "me");
        assert_eq!(told("aud", json!(["a", "b"])), "a b");
        assert_eq!(told("count", json!(7)), "7");
        assert_eq!(told("exp", json!("soon")), "soon");
    }
}
