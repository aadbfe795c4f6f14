use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::rotation::WorkloadKind;
use crate::domain::fixtures::{NOON, app};

fn target(name: &str) -> RestartTarget {
    RestartTarget { kind: WorkloadKind::Deployment, name: name.into() }
}

fn seen(credential: Option<&str>, rollout: Rollout) -> Seen {
    Seen::There(Workload { resource_version: "7".into(), credential: credential.map(Into::into), rollout })
}

fn decided(hurry: bool, targets: &[(&str, Seen)]) -> (Next, Vec<String>) {
    let targets: Vec<_> = targets.iter().map(|(name, seen)| (target(name), seen.clone())).collect();
    let decision = decide(&targets, &Due { credential: "2".into(), hurry });
    (decision.next, decision.left.into_iter().map(|left| left.target.name).collect())
}

fn restart(name: &str) -> Next {
    Next::Restart { target: target(name), version: "7".into() }
}

const NONE: Vec<String> = Vec::new();

#[test]
fn workloads_are_restarted_one_after_the_other_in_their_order() {
    use Rollout::{Complete, UnderWay};
    let (old, fresh) = (|| seen(Some("1"), Complete), || seen(None, Complete));
    let (rolling, done) = (|| seen(Some("2"), UnderWay), || seen(Some("2"), Complete));
    assert_eq!(decided(false, &[("a", old()), ("b", fresh())]), (restart("a"), NONE));
    assert_eq!(decided(false, &[("a", rolling()), ("b", fresh())]), (Next::Wait(target("a")), NONE));
    assert_eq!(decided(false, &[("a", done()), ("b", fresh())]), (restart("b"), NONE));
    assert_eq!(decided(false, &[("a", fresh()), ("b", rolling())]), (Next::Wait(target("b")), NONE));
    assert_eq!(decided(false, &[("a", done()), ("b", done())]), (Next::Done, NONE));
    assert_eq!(decided(false, &[]), (Next::Done, NONE));
}

#[test]
fn what_is_not_well_is_left_alone_and_does_not_hold_up_the_others() {
    use Rollout::{Complete, Failing, OnDelete, Paused, UnderWay};
    let unwell = [
        seen(None, Paused),
        seen(None, Failing),
        seen(None, UnderWay),
        seen(None, OnDelete),
        Seen::Missing,
        Seen::Unreadable("the Kubernetes API answered 403".into()),
    ];
    for seen_of_a in unwell {
        for hurry in [false, true] {
            let with_b = |b| decided(hurry, &[("a", seen_of_a.clone()), ("b", b)]);
            assert_eq!(with_b(seen(None, Complete)), (restart("b"), vec!["a".into()]));
            assert_eq!(with_b(seen(Some("2"), Complete)), (Next::Nothing, vec!["a".into()]));
        }
    }
}

#[test]
fn a_rollout_that_does_not_end_holds_up_the_others_for_half_of_the_overlap() {
    use Rollout::{Complete, Failing, OnDelete, Paused, UnderWay};
    for (rollout, told_at_once) in [(UnderWay, false), (Failing, true), (Paused, true), (OnDelete, true)] {
        let both = || [("a", seen(Some("2"), rollout.clone())), ("b", seen(None, Complete))];
        let left = if told_at_once { vec!["a".to_owned()] } else { NONE };
        assert_eq!(decided(false, &both()), (Next::Wait(target("a")), left), "{rollout:?}");
        assert_eq!(decided(true, &both()), (restart("b"), vec!["a".into()]), "{rollout:?}");
    }
}

fn deployment(spec: &Value, status: &Value) -> Rollout {
    let mut object = json!({"metadata": {"generation": 3}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {
        "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2
    }});
    merge(&mut object["spec"], spec);
    merge(&mut object["status"], status);
    Workload::of_deployment(&serde_json::from_value(object).expect("a Deployment"), "a").rollout
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().expect("an object") {
        into[key] = value.clone();
    }
}

#[test]
fn a_deployment_has_rolled_out_when_kubectl_would_say_so() {
    use Rollout::{Complete, Failing, Paused, UnderWay};
    let condition = |kind: &str, status: &str| json!({"conditions": [{"type": kind, "status": status}]});
    let cases = [
        (json!({}), json!({}), Complete),
        (json!({"paused": true}), json!({}), Paused),
        (json!({}), json!({"observedGeneration": 2}), UnderWay),
        (json!({}), json!({"updatedReplicas": 1}), UnderWay),
        (json!({}), json!({"replicas": 3}), UnderWay),
        (json!({}), json!({"availableReplicas": 1}), UnderWay),
        (json!({}), condition("Progressing", "True"), Complete),
        (json!({}), condition("Progressing", "False"), Failing),
        (json!({}), condition("ReplicaFailure", "True"), Failing),
        (json!({"replicas": 0}), json!({"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}), Complete),
    ];
    for (spec, status, expected) in cases {
        assert_eq!(deployment(&spec, &status), expected, "{spec} {status}");
    }
    let failed_before = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False"}]});
    assert_eq!(deployment(&json!({}), &failed_before), UnderWay, "the failure was of the template before");
}

fn stateful_set(spec: &Value, status: &Value) -> Rollout {
    let mut object = json!({"metadata": {"generation": 3}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {
        "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2
    }});
    merge(&mut object["spec"], spec);
    merge(&mut object["status"], status);
    Workload::of_stateful_set(&serde_json::from_value(object).expect("a StatefulSet"), "a").rollout
}

#[test]
fn a_stateful_set_has_rolled_out_when_those_above_the_partition_are_new_and_all_are_available() {
    use Rollout::{Complete, OnDelete, UnderWay};
    let partition = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
    let cases = [
        (json!({}), json!({}), Complete),
        (json!({}), json!({"observedGeneration": 2}), UnderWay),
        (json!({}), json!({"updatedReplicas": 1}), UnderWay),
        (json!({}), json!({"availableReplicas": 1}), UnderWay),
        (partition.clone(), json!({"updatedReplicas": 1}), Complete),
        (partition, json!({"updatedReplicas": 0}), UnderWay),
        (json!({"updateStrategy": {"type": "OnDelete"}}), json!({}), OnDelete),
    ];
    for (spec, status, expected) in cases {
        assert_eq!(stateful_set(&spec, &status), expected, "{spec} {status}");
    }
}

#[test]
fn a_daemon_set_has_rolled_out_when_every_node_has_a_new_one_that_is_available() {
    let of = |strategy: &str, generation: i64, updated: i32, available: i32| {
        let object = json!({
            "metadata": {"generation": 3},
            "spec": {"selector": {}, "template": {}, "updateStrategy": {"type": strategy}},
            "status": {"observedGeneration": generation, "currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberReady": 2,
                "numberMisscheduled": 0, "updatedNumberScheduled": updated, "numberAvailable": available}
        });
        Workload::of_daemon_set(&serde_json::from_value(object).expect("a DaemonSet"), "a").rollout
    };
    assert_eq!(of("RollingUpdate", 3, 2, 2), Rollout::Complete);
    assert_eq!(of("RollingUpdate", 2, 2, 2), Rollout::UnderWay);
    assert_eq!(of("RollingUpdate", 3, 1, 2), Rollout::UnderWay);
    assert_eq!(of("RollingUpdate", 3, 2, 1), Rollout::UnderWay);
    assert_eq!(of("OnDelete", 3, 2, 2), Rollout::OnDelete);
}

#[test]
fn a_workload_says_what_it_was_restarted_for_by_this_application() {
    let object = json!({
        "metadata": {"resourceVersion": "9"},
        "spec": {"selector": {}, "template": {"metadata": {"annotations": {annotation("mine"): "2", annotation("other"): "5"}}}}
    });
    let object: Deployment = serde_json::from_value(object).expect("a Deployment");
    let workload = Workload::of_deployment(&object, &annotation("mine"));
    assert_eq!((workload.credential.as_deref(), workload.resource_version.as_str()), (Some("2"), "9"));
    assert_eq!(Workload::of_deployment(&object, &annotation("third")).credential, None);
}

fn rotated(seconds_ago: i64, restarted: Option<&str>, restart: &Value) -> ExternalApplication {
    let mut app = app();
    let last = NOON - SignedDuration::from_secs(seconds_ago);
    let of = |json: Value| serde_json::from_value(json).expect("a fixture");
    app.spec.rotation = Some(serde_json::from_value(json!({"restart": restart})).expect("a rotation"));
    let mut status = json!({
        "observedGeneration": 1,
        "credentials": [{"id": "2", "kind": "Secret", "state": "Active"}, {"id": "1", "kind": "Secret", "state": "Retiring"}],
        "rotation": {"lastTime": last.to_string()}
    });
    if let Some(restarted) = restarted {
        status["rotation"]["restarted"] = restarted.into();
    }
    app.status = Some(of(status));
    app
}

#[test]
fn workloads_are_restarted_for_a_secret_that_replaced_another_until_the_overlap_ends() {
    let all = Features { watch_consumers: true, restart_workloads: true };
    let some = json!([{"kind": "Deployment", "name": "a"}]);
    let overlap = Duration::from_secs(100);
    let of = |app: &ExternalApplication, features| due(app, overlap, features, NOON);
    let expected = |hurry| Some(Due { credential: "2".into(), hurry });
    assert_eq!(of(&rotated(0, None, &some), all), expected(false));
    assert_eq!(of(&rotated(49, Some("1"), &some), all), expected(false));
    assert_eq!(of(&rotated(50, Some("1"), &some), all), expected(true));
    assert_eq!(of(&rotated(100, Some("1"), &some), all), None, "the overlap has ended");
    assert_eq!(of(&rotated(0, Some("2"), &some), all), None, "everything was restarted");
    assert_eq!(of(&rotated(0, None, &json!([])), all), None);
    assert_eq!(of(&rotated(0, None, &some), Features { watch_consumers: true, restart_workloads: false }), None);
    let mut first = rotated(0, None, &some);
    first.status.as_mut().expect("a status").rotation = None;
    assert_eq!(of(&first, all), None, "the first secret replaces nothing");
}

proptest! {
    #[test]
    fn every_annotation_is_one_that_kubernetes_takes(name in "[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?") {
        let annotation = annotation(&name);
        let (prefix, rest) = annotation.split_once('/').expect("a prefix");
        prop_assert_eq!(prefix, "credential.extapp.dev");
        prop_assert!(rest.len() <= 63 && rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        prop_assert!(rest.ends_with(|c: char| c.is_ascii_alphanumeric()));
    }

    #[test]
    fn restarts_come_to_an_end_and_none_is_restarted_twice_nor_two_at_once(
        unwell in prop::collection::vec(any::<bool>(), 0..8)
    ) {
        let mut targets: Vec<_> = unwell.iter().enumerate().map(|(index, unwell)| {
            let rollout = if *unwell { Rollout::Paused } else { Rollout::Complete };
            (target(&format!("w{index}")), seen(None, rollout))
        }).collect();
        let due = Due { credential: "2".into(), hurry: false };
        let mut restarted = Vec::new();
        for _ in 0..=2 * targets.len() {
            match decide(&targets, &due).next {
                Next::Restart { target, .. } => {
                    prop_assert!(!restarted.contains(&target));
                    let entry = targets.iter_mut().find(|(name, _)| *name == target).expect("one of them");
                    entry.1 = seen(Some("2"), Rollout::UnderWay);
                    let rolling = targets.iter().filter(|(_, seen)| matches!(seen, Seen::There(w) if w.rollout == Rollout::UnderWay));
                    prop_assert_eq!(rolling.count(), 1);
                    restarted.push(target);
                }
                Next::Wait(waited) => {
                    let entry = targets.iter_mut().find(|(name, _)| *name == waited).expect("one of them");
                    entry.1 = seen(Some("2"), Rollout::Complete);
                }
                Next::Done | Next::Nothing => break,
            }
        }
        prop_assert_eq!(restarted.len(), unwell.iter().filter(|unwell| !**unwell).count());
        let end = decide(&targets, &due).next;
        prop_assert_eq!(end, if unwell.contains(&true) { Next::Nothing } else { Next::Done });
    }
}
