use serde_json::{Value, json};

use super::*;
use crate::api::ROTATE;
use crate::domain::fixtures;

const VALUE: &str = "2026-11-25T04:00:00Z-a1b2c3";

fn now() -> Timestamp {
    "2026-11-25T04:00:10Z".parse().expect("a time")
}

/// An application with this status, for which a rotation was asked for.
fn app(status: &Value) -> ExternalApplication {
    let mut app = fixtures::app();
    app.annotations_mut().insert(ROTATE.into(), VALUE.into());
    app.status = Some(serde_json::from_value(status.clone()).expect("a status"));
    app
}

fn asked() -> Asked {
    Asked { annotation: ROTATE, value: VALUE.into() }
}

fn rotated(status: &str, reason: &str) -> Value {
    let time = "2026-11-25T04:00:05Z";
    json!([{"type": "Rotated", "status": status, "reason": reason, "message": "said", "lastTransitionTime": time}])
}

#[test]
fn a_request_is_done_once_the_status_names_it_and_refused_where_the_condition_says_so() {
    let before = app(&json!({}));
    let judge = |status: Value| verdict(&asked(), &before, &app(&status));
    assert_eq!(judge(json!({})), None);
    assert_eq!(judge(json!({"rotation": {"rotate": "an earlier one"}})), None);
    assert_eq!(judge(json!({"rotation": {"rollback": VALUE}})), None, "another annotation");
    assert_eq!(judge(json!({"rotation": {"rotate": VALUE}})), Some(Verdict::Done));
    let done = json!({"rotation": {"rotate": VALUE}, "conditions": rotated("True", "Rotated")});
    assert_eq!(judge(done), Some(Verdict::Done));
    for reason in ["ProofFailed", "NotSupported", "RollbackImpossible"] {
        let early = json!({"conditions": rotated("False", reason)});
        assert_eq!(judge(early), None, "the condition speaks of an earlier rotation");
        let status = json!({"rotation": {"rotate": VALUE}, "conditions": rotated("False", reason)});
        let refused = Verdict::Refused { reason: Some(reason.into()), message: "said".into() };
        assert_eq!(judge(status), Some(refused));
    }
    // The next rotation is due already.
    let waiting = json!({"rotation": {"rotate": VALUE}, "conditions": rotated("False", "RotationWaiting")});
    assert_eq!(judge(waiting), Some(Verdict::Done));
}

#[test]
fn a_request_that_somebody_replaced_is_not_waited_for() {
    let mut after = app(&json!({}));
    after.annotations_mut().insert(ROTATE.into(), "another".into());
    assert!(matches!(verdict(&asked(), &app(&json!({})), &after), Some(Verdict::Refused { .. })));
}

#[test]
fn the_steps_of_a_rotation_are_told_in_their_order() {
    let one = |state: &str| json!({"id": "1", "kind": "Secret", "state": state});
    let retiring =
        json!({"id": "1", "kind": "Secret", "state": "Retiring", "expiresAt": "2026-11-26T04:00:10Z", "pods": 3});
    let two = |state: &str| json!({"id": "2", "kind": "Secret", "state": state, "verifiedAt": "2026-11-25T04:00:08Z"});
    let statuses = [
        json!({"credentials": [one("Active")]}),
        json!({"credentials": [one("Active"), {"id": "2", "kind": "Secret", "state": "Pending"}], "conditions": rotated("False", "Proving")}),
        json!({"credentials": [two("Active"), retiring]}),
        json!({"credentials": [two("Active")]}),
    ]
    .map(|status| app(&status));
    let told = |from: usize, to: usize| steps(&statuses[from], &statuses[to], now());
    assert_eq!(told(0, 1), ["secret 2 is made", "Proving: said"]);
    assert_eq!(
        told(1, 2),
        [
            "secret 2 is accepted by the token endpoint",
            "secret 2 is published",
            "secret 1 is retiring, until 2026-11-26T04:00:10Z (in 24h); 3 pods may still use it"
        ]
    );
    assert_eq!(told(2, 3), ["secret 1 is removed at the server"]);
    assert_eq!(
        told(0, 2)[..3],
        ["secret 2 is made", "secret 2 is accepted by the token endpoint", "secret 2 is published"]
    );
    assert!(told(2, 2).is_empty());
}

#[test]
fn what_the_object_rules_out_is_not_asked_for() {
    let secret = |state: &str| json!({"credentials": [{"id": "1", "kind": "Secret", "state": state}]});
    let with = |change: &dyn Fn(&mut ExternalApplication)| {
        let mut app = app(&secret("Retiring"));
        change(&mut app);
        refusal(&app, ROTATE)
    };
    assert_eq!(with(&|_| {}), None);
    let said = |change: &dyn Fn(&mut ExternalApplication)| with(change).expect("a refusal");
    assert!(said(&|app| app.spec.r#type = ApplicationType::NonConfidential).contains("no secret"));
    assert!(said(&|app| app.spec.client_secret = Some(ClientSecretPolicy::None)).contains("federatedCredentials"));
    assert!(said(&|app| app.spec.management = Some(Management::Observe)).contains("Enforce"));
    assert!(said(&|app| app.spec.suspend = true).contains("spec.suspend"));
    assert_eq!(refusal(&app(&secret("Retiring")), ROLLBACK), None);
    assert!(refusal(&app(&secret("Active")), ROLLBACK).is_some_and(|why| why.contains("no secret to go back to")));
}

#[test]
fn each_outcome_has_its_exit_code_and_says_how_to_go_on() {
    let outcome = |verdict: Option<Verdict>| {
        let mut outcome = Outcome::new(&app(&json!({})), asked());
        outcome.see(&app(&json!({"conditions": rotated("False", "RotationWaiting")})));
        if let Some(verdict) = verdict {
            outcome.settle(verdict);
        }
        (outcome.exit().code(), outcome.text())
    };
    assert_eq!(outcome(None), (0, "extapp status invoice-sync -n identity tells how it goes\n".into()));
    assert_eq!(outcome(Some(Verdict::Done)), (0, "done\n".into()));
    let (code, text) = outcome(Some(Verdict::TimedOut));
    assert_eq!(code, 4);
    assert!(text.contains("RotationWaiting: said") && text.contains("extapp status"), "{text}");
    let refused = Verdict::Refused { reason: Some("ProofFailed".into()), message: "no".into() };
    assert_eq!(outcome(Some(refused)), (5, "not done: ProofFailed: no\n".into()));
}

#[test]
fn the_outcome_in_json_has_a_stable_shape() {
    let status = json!({"credentials": [{"id": "7", "kind": "Secret", "state": "Active"}]});
    let mut outcome = Outcome::new(&app(&status), asked());
    outcome.settle(Verdict::Done);
    assert_eq!(
        serde_json::to_value(&outcome).expect("JSON"),
        json!({"namespace": "identity", "name": "invoice-sync", "annotation": ROTATE, "value": VALUE, "outcome": "Done", "credential": "7"})
    );
}
