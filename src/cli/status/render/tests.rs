use serde_json::{Value, json};

use super::*;
use crate::api::ExternalApplication;
use crate::domain::fixtures;

fn now() -> Timestamp {
    "2026-11-25T04:00:00Z".parse().expect("a time")
}

fn app(status: Value, annotations: &[(&str, &str)]) -> ExternalApplication {
    let mut app = fixtures::app();
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    app.metadata.annotations = Some(annotations.collect());
    app.status = Some(serde_json::from_value(status).expect("a status"));
    app
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-25T03:00:00Z"})
}

fn in_the_middle() -> ExternalApplication {
    let status = json!({
        "observedGeneration": 1, "clientId": "id-1", "tokenEndpoint": "https://cloud.example.com/token",
        "issuer": "https://cloud.example.com", "binding": {"name": "invoice-sync-oauth"},
        "scopes": [
            {"name": "OR.Queues", "type": "Application", "state": "Granted"},
            {"name": "OR.Queue", "type": "Application", "state": "Unknown", "reason": "did you mean OR.Queues?"}
        ],
        "credentials": [
            {"id": "2", "kind": "Secret", "state": "Active", "createdAt": "2026-11-24T04:00:00Z", "verifiedAt": "2026-11-24T04:00:03Z"},
            {"id": "1", "kind": "Secret", "state": "Retiring", "createdAt": "2026-10-25T04:00:00Z", "expiresAt": "2026-11-25T05:00:00Z", "pods": 2},
            {"id": "f", "kind": "Federated", "name": "pods", "state": "Active"}
        ],
        "rotation": {"lastTime": "2026-11-24T04:00:03Z", "lastTrigger": "Schedule", "rotate": "old"},
        "nextRotationTime": "2026-12-24T04:00:00Z",
        "conditions": [
            condition("Ready", "True", "Ready", "registered"), condition("Registered", "True", "Registered", "as id-1"),
            condition("Rotated", "False", "Proving", "secret 3 is not accepted yet")
        ]
    });
    app(status, &[("extapp.dev/rotate", "new")])
}

fn event() -> Happened {
    serde_json::from_value::<k8s_openapi::api::events::v1::Event>(json!({
        "metadata": {}, "eventTime": "2026-11-25T03:57:00.000000Z", "type": "Normal", "reason": "Rotated", "note": "replaced",
        "series": {"count": 2, "lastObservedTime": "2026-11-25T03:58:00.000000Z"}
    }))
    .map(|event| Happened::of(&event))
    .expect("an Event")
}

#[test]
fn everything_that_there_is_to_say_is_on_one_page() {
    let text = text(&Report::of(&in_the_middle(), vec![event()]), now());
    assert_eq!(
        text,
        "\
identity/invoice-sync: ready
  because         Ready: registered
  server          identity/cloud
  type            Confidential
  client id       id-1
  issuer          https://cloud.example.com
  token endpoint  https://cloud.example.com/token

Scopes not granted
  NAME      TYPE         STATE    WHAT TO DO
  OR.Queue  Application  Unknown  did you mean OR.Queues?

Outputs
  KIND    NAME                FORMAT
  Secret  invoice-sync-oauth  Standard

Credentials
  ID  KIND            STATE     AGE  ENDS                           PROVEN                          PODS
  2   Secret          Active    24h  never                          2026-11-24T04:00:03Z (23h ago)  -
  1   Secret          Retiring  31d  2026-11-25T05:00:00Z (in 60m)  -                               2
  f   Federated pods  Active    -    never                          -                               -

Rotation
  last  2026-11-24T04:00:03Z (23h ago), Schedule
  next  2026-12-24T04:00:00Z (in 29d)
  now   Proving: secret 3 is not accepted yet
  asked for and not done yet: extapp.dev/rotate=new

Events
  AGE  TYPE    REASON   MESSAGE
  2m   Normal  Rotated  replaced (x2)
"
    );
}

#[test]
fn an_application_that_nobody_has_looked_at_says_what_to_look_at() {
    let new = app(json!({"observedGeneration": -1}), &[]);
    let report = Report::of(&new, Vec::new());
    assert!(!report.ready && !report.observed);
    let text = text(&report, now());
    assert!(text.contains("not ready") && text.contains("is the operator running"), "{text}");
    assert!(text.contains("invoice-sync-oauth (not written yet)"), "{text}");
}

#[test]
fn a_change_that_was_not_looked_at_is_not_ready_although_the_condition_is_true() {
    let mut changed = in_the_middle();
    changed.metadata.generation = Some(2);
    let report = Report::of(&changed, Vec::new());
    assert!(!report.ready);
    assert!(text(&report, now()).contains("has not looked at the latest change yet. Before it: Ready: registered"));
}

#[test]
fn what_is_wrong_is_said_once() {
    let conditions = [
        condition("Ready", "False", "UnknownScope", "OR.Queue: unknown"),
        condition("Registered", "False", "UnknownScope", "OR.Queue: unknown"),
        condition("Stalled", "True", "UnknownScope", "OR.Queue: unknown"),
        condition("Drifted", "True", "DriftFound", "displayName differs"),
        condition("CredentialsPublished", "False", "SecretConflict", "invoice-sync-oauth is not ours"),
    ];
    let text =
        text(&Report::of(&app(json!({"observedGeneration": 1, "conditions": conditions}), &[]), Vec::new()), now());
    assert_eq!(text.matches("OR.Queue: unknown").count(), 1, "{text}");
    assert!(text.contains("Drifted is True: DriftFound: displayName differs"), "{text}");
    assert!(text.contains("CredentialsPublished is False: SecretConflict: invoice-sync-oauth is not ours"), "{text}");
}

#[test]
fn the_report_in_json_has_a_stable_shape() {
    let report = serde_json::to_value(Report::of(&in_the_middle(), vec![event()])).expect("JSON");
    let expected = json!({
        "namespace": "identity", "name": "invoice-sync", "server": {"namespace": "identity", "name": "cloud"},
        "type": "Confidential", "ready": true, "reason": "Ready", "message": "registered", "observed": true, "suspended": false,
        "clientId": "id-1", "issuer": "https://cloud.example.com", "tokenEndpoint": "https://cloud.example.com/token",
        "scopesNotGranted": [{"name": "OR.Queue", "type": "Application", "state": "Unknown", "reason": "did you mean OR.Queues?"}],
        "outputs": [{"kind": "Secret", "name": "invoice-sync-oauth", "format": "Standard", "immutable": false, "current": "invoice-sync-oauth"}],
        "credentials": [
            {"id": "2", "kind": "Secret", "state": "Active", "createdAt": "2026-11-24T04:00:00Z", "verifiedAt": "2026-11-24T04:00:03Z"},
            {"id": "1", "kind": "Secret", "state": "Retiring", "createdAt": "2026-10-25T04:00:00Z", "expiresAt": "2026-11-25T05:00:00Z", "pods": 2},
            {"id": "f", "kind": "Federated", "name": "pods", "state": "Active"}
        ],
        "rotation": {
            "lastTime": "2026-11-24T04:00:03Z", "lastTrigger": "Schedule", "nextTime": "2026-12-24T04:00:00Z",
            "condition": {"type": "Rotated", "status": "False", "reason": "Proving", "message": "secret 3 is not accepted yet", "since": "2026-11-25T03:00:00Z"},
            "requested": [{"annotation": "extapp.dev/rotate", "value": "new"}]
        },
        "conditions": [
            {"type": "Registered", "status": "True", "reason": "Registered", "message": "as id-1", "since": "2026-11-25T03:00:00Z"},
            {"type": "Rotated", "status": "False", "reason": "Proving", "message": "secret 3 is not accepted yet", "since": "2026-11-25T03:00:00Z"}
        ],
        "events": [{"time": "2026-11-25T03:58:00Z", "type": "Normal", "reason": "Rotated", "message": "replaced", "count": 2}]
    });
    assert_eq!(report, expected);
}
