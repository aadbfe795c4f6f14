use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::super::operation::{CREATE, GET, LIST, Operation};
use super::*;

fn answer(status: u16, content_type: &str, body: &str) -> Answer {
    Answer {
        status,
        content_type: Some(content_type.to_owned()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        retry_after: None,
        link: None,
    }
}

fn read(operation: Operation, answer: &Answer) -> ServerError {
    Reader { operation, secrets: &["canary-secret"] }.json::<Value>(answer).unwrap_err()
}

fn refused(body: &str) -> String {
    match read(GET, &answer(400, "application/json", body)) {
        ServerError::Rejected { text } => text.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_words_of_every_shape_of_error_are_found() {
    let table = [
        (r#"{"error":"invalid_request","error_description":"Invalid scope"}"#, "invalid_request: Invalid scope"),
        (r#"{"error":"invalid_client"}"#, "invalid_client"),
        (r#"{"message":"Folder does not exist.","errorCode":1100,"traceId":"00-ab"}"#, "Folder does not exist."),
        (
            r#"{"__abp":true,"error":{"code":0,"message":"Oh!","details":"Not so.","validationErrors":null},"message":"Oh!","unAuthorizedRequest":false}"#,
            "Oh!: Not so.",
        ),
        (
            r#"{"type":"t","title":"One or more validation errors occurred.","status":400,"errors":{"partitionGlobalId":["The value 'acme' is not valid."]},"traceId":"00"}"#,
            "partitionGlobalId: The value 'acme' is not valid.",
        ),
        (r#"{"type":"t","title":"Bad Request","status":400,"detail":"Too long."}"#, "Bad Request: Too long."),
        (r#"{"error":{"code":"UnsupportedApiVersion","message":"No."}}"#, "UnsupportedApiVersion: No."),
        (r#"{"code":"InvalidPartition"}"#, "InvalidPartition"),
        (r#""Not all scopes=OR.Nope are present in database""#, "Not all scopes=OR.Nope are present in database"),
        (r#"{"unknown":true}"#, "HTTP status 400"),
        ("", "HTTP status 400"),
        (r#"{"message":"a canary-secret"#, "HTTP status 400"),
    ];
    for (body, expected) in table {
        assert_eq!(refused(body), expected, "{body}");
    }
    let plain = answer(400, "text/plain; charset=utf-8", "Client not found in partition");
    assert!(
        matches!(read(GET, &plain), ServerError::Rejected { text } if text.as_str() == "Client not found in partition")
    );
}

#[test]
fn a_secret_that_comes_back_is_not_quoted() {
    assert_eq!(refused(r#"{"message":"bad value canary-secret"}"#), "bad value ***");
}

#[test]
fn every_status_has_its_error() {
    let json = |status| read(GET, &answer(status, "application/json", "{}"));
    assert_eq!(json(401), ServerError::Unauthorized);
    assert!(matches!(json(403), ServerError::Forbidden { needed } if needed.contains("PM.OAuthApp.Read")));
    assert_eq!(json(404), ServerError::NotFound);
    assert!(matches!(json(409), ServerError::Conflict { .. }));
    assert!(matches!(json(422), ServerError::Rejected { .. }));
    assert_eq!(json(302), ServerError::Unintelligible { what: "a redirect" });
    for status in [500, 502, 503, 504] {
        assert_eq!(json(status), ServerError::Failed { status });
    }
    let limited = Answer { retry_after: Some(Duration::from_secs(9)), ..answer(429, "text/html", "<html>") };
    assert_eq!(read(GET, &limited), ServerError::RateLimited { retry_after: Some(Duration::from_secs(9)) });
}

#[test]
fn what_is_not_this_api_is_no_answer_and_no_absence() {
    let page = "<!DOCTYPE html><html><body>Sign in, canary</body></html>";
    for status in [200, 403, 404] {
        assert_eq!(read(GET, &answer(status, "text/html", page)), ServerError::Unintelligible { what: "HTML" });
        assert_eq!(read(GET, &answer(status, "application/json", page)), ServerError::Unintelligible { what: "HTML" });
    }
    assert_eq!(
        read(LIST, &answer(404, "application/json", "{}")),
        ServerError::Unintelligible { what: "404 Not Found" }
    );
}

#[test]
fn a_success_that_cannot_be_read_is_told_by_what_is_wrong() {
    let table =
        [("", "nothing in it"), (r#"[{"id": "a"#, "JSON that breaks off"), ("nonsense", "not the expected JSON")];
    for (body, what) in table {
        assert_eq!(read(LIST, &answer(200, "application/json", body)), ServerError::Unintelligible { what });
    }
}

#[test]
fn a_create_that_was_refused_by_anything_at_all_left_nothing_behind() {
    for status in [400, 401, 403, 404, 405, 409, 413, 429] {
        for (kind, body) in [("text/html", "<html>"), ("application/json", "{}"), ("text/plain", "")] {
            assert!(read(CREATE, &answer(status, kind, body)).is_definite(), "{status} {kind}");
        }
    }
    for status in [200, 302, 500, 502, 503, 504] {
        assert!(!read(CREATE, &answer(status, "text/html", "<html>")).is_definite(), "{status}");
    }
}

#[test]
fn a_permission_that_is_missing_is_told_under_any_status() {
    let body = r#"{"__abp":true,"error":{"code":0,"message":"You are not authorized!"},"unAuthorizedRequest":true}"#;
    assert!(matches!(read(GET, &answer(400, "application/json", body)), ServerError::Forbidden { .. }));
}

proptest! {
    #[test]
    fn any_answer_at_all_has_a_meaning_and_quotes_no_secret(
        status in 100u16..1000,
        kind in prop::sample::select(vec!["application/json", "text/plain", "text/html", ""]),
        words in any::<String>(),
        wrapped in any::<bool>(),
    ) {
        let body = if wrapped { serde_json::json!({"message": words + "canary-secret"}).to_string() } else { words };
        for operation in [GET, CREATE, LIST] {
            let reader = Reader { operation, secrets: &["canary-secret"] };
            if let Err(error) = reader.json::<Value>(&answer(status, kind, &body)) {
                let told = format!("{error} {error:?}");
                prop_assert!(!told.contains("canary-secret"));
                prop_assert!(!operation.creates || !(400..500).contains(&status) || error.is_definite());
            }
        }
    }
}
