use k8s_openapi::api::core::v1::PodSpec;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::domain::fixtures;

fn parse<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("a fixture")
}

fn id(kind: &str, name: &str) -> WorkloadId {
    WorkloadId { kind: kind.into(), name: name.into() }
}

/// Published at noon.
fn app(spec: Value) -> ExternalApplication {
    let mut app = fixtures::app();
    app.spec.outputs = parse(spec);
    let binding = if app.spec.outputs.first().is_some_and(|output| output.immutable) {
        "oauth-0000000b"
    } else {
        "invoice-sync-oauth"
    };
    app.status = parse(json!({"binding": {"name": binding}, "rotation": {"lastTime": "2026-11-25T12:00:00Z"}}));
    app
}

fn mounting(secret: &str) -> Value {
    json!({
        "containers": [{"name": "app", "volumeMounts": [{"name": "oauth", "mountPath": "/etc/oauth"}]}],
        "volumes": [{"name": "oauth", "secret": {"secretName": secret}}]
    })
}

fn with_variable(secret: &str) -> Value {
    let from = json!({"secretKeyRef": {"name": secret, "key": "client-secret"}});
    json!({"containers": [{"name": "app", "env": [{"name": "CLIENT_SECRET", "valueFrom": from}]}]})
}

fn pod(name: &str, started: &str, owner: Option<(&str, &str)>, spec: &Value) -> Pod {
    let owners: Vec<Value> = owner
        .into_iter()
        .map(
            |(kind, name)| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}),
        )
        .collect();
    let status = json!({"phase": "Running", "startTime": started});
    parse(json!({"metadata": {"name": name, "ownerReferences": owners}, "spec": spec, "status": status}))
}

fn workload(of: WorkloadId, controller: Option<WorkloadId>, template: Option<&Value>) -> Workload {
    let template: Option<PodSpec> = template.map(|spec| parse(spec.clone()));
    Workload { id: of, controller, template, finished: false }
}

const BEFORE: &str = "2026-11-25T11:00:00Z";
const AFTER: &str = "2026-11-25T12:00:01Z";

#[test]
fn a_pod_of_before_has_the_old_secret_until_its_file_follows_or_until_it_is_restarted() {
    let (file, variable) = (mounting("invoice-sync-oauth"), with_variable("invoice-sync-oauth"));
    let pods = vec![
        pod("a", BEFORE, None, &file),
        pod("b", BEFORE, None, &variable),
        pod("c", AFTER, None, &variable),
        pod("d", BEFORE, None, &mounting("another")),
    ];
    let report = Report::of(&app(json!([])), &Read { pods, ..Read::default() });
    let said: Vec<_> = report.pods.iter().map(|pod| (pod.name.as_str(), pod.may_hold_old, pod.needs_restart)).collect();
    assert_eq!(said, [("a", true, false), ("b", true, true), ("c", false, false)]);
    assert_eq!(report.pods[0].uses[0].path.as_deref(), Some("/etc/oauth"));
    assert_eq!(report.pods[1].uses[0].variable.as_deref(), Some("CLIENT_SECRET"));
}

#[test]
fn nobody_has_an_old_secret_where_none_was_ever_replaced() {
    let mut app = app(json!([]));
    app.status = None;
    let pods = vec![pod("a", BEFORE, None, &with_variable("invoice-sync-oauth"))];
    let report = Report::of(&app, &Read { pods, ..Read::default() });
    assert_eq!((report.published_at, report.pods[0].may_hold_old), (None, false));
}

#[test]
fn a_pod_that_has_ended_uses_nothing_and_one_that_is_going_does() {
    let mut ended = pod("ended", BEFORE, None, &mounting("invoice-sync-oauth"));
    ended.status.as_mut().expect("a status").phase = Some("Succeeded".into());
    let mut going = pod("going", BEFORE, None, &mounting("invoice-sync-oauth"));
    going.metadata.deletion_timestamp = Some(parse(json!("2026-11-25T12:30:00Z")));
    let report = Report::of(&app(json!([])), &Read { pods: vec![ended, going], ..Read::default() });
    assert_eq!(report.pods.len(), 1);
    assert!(report.pods[0].deleting && report.pods[0].may_hold_old);
}

#[test]
fn an_old_version_of_an_immutable_object_never_follows() {
    let outputs = json!([{"name": "oauth", "immutable": true}]);
    let pods = vec![
        pod("old", AFTER, None, &mounting("oauth-0000000a")),
        pod("new", AFTER, None, &mounting("oauth-0000000b")),
        pod("other", AFTER, None, &mounting("oauth-not-ours-at-all")),
    ];
    let report = Report::of(&app(outputs), &Read { pods, ..Read::default() });
    let said: Vec<_> = report.pods.iter().map(|pod| (pod.name.as_str(), pod.may_hold_old, pod.needs_restart)).collect();
    assert_eq!(said, [("new", false, false), ("old", true, true)]);
    assert!(report.pods.iter().all(|pod| !pod.uses[0].follows));
}

#[test]
fn pods_are_told_under_the_topmost_of_what_made_them() {
    let spec = mounting("invoice-sync-oauth");
    let (deployment, set) = (id("Deployment", "sync"), id("ReplicaSet", "sync-1"));
    let (cron, job) = (id("CronJob", "nightly"), id("Job", "nightly-1"));
    let read = Read {
        pods: vec![
            pod("sync-1-a", BEFORE, Some(("ReplicaSet", "sync-1")), &spec),
            pod("sync-1-b", AFTER, Some(("ReplicaSet", "sync-1")), &spec),
            pod("nightly-1-a", AFTER, Some(("Job", "nightly-1")), &spec),
            pod("rollout-a", AFTER, Some(("Rollout", "canary")), &spec),
        ],
        workloads: vec![
            workload(deployment.clone(), None, Some(&spec)),
            workload(set, Some(deployment), Some(&spec)),
            workload(cron.clone(), None, Some(&spec)),
            workload(job, Some(cron), Some(&spec)),
            workload(id("StatefulSet", "asleep"), None, Some(&with_variable("invoice-sync-oauth"))),
            workload(id("DaemonSet", "unconcerned"), None, Some(&mounting("another"))),
            Workload { finished: true, ..workload(id("Job", "over"), None, Some(&spec)) },
        ],
        unread: Vec::new(),
    };
    let report = Report::of(&app(json!([])), &read);
    let said: Vec<_> = report
        .workloads
        .iter()
        .map(|one| (one.id.kind.as_str(), one.id.name.as_str(), one.pods, one.pods_that_may_hold_old))
        .collect();
    let expected = [
        ("CronJob", "nightly", 1, 0),
        ("Deployment", "sync", 2, 1),
        ("Rollout", "canary", 1, 0),
        ("StatefulSet", "asleep", 0, 0),
    ];
    assert_eq!(said, expected);
}

#[test]
fn the_report_in_json_has_a_stable_shape() {
    let pods = vec![pod("a", BEFORE, Some(("StatefulSet", "db")), &with_variable("invoice-sync-oauth"))];
    let report = serde_json::to_value(Report::of(&app(json!([])), &Read { pods, ..Read::default() })).expect("JSON");
    let uses = json!([{
        "kind": "Secret", "object": "invoice-sync-oauth", "how": "Env", "container": "app", "variable": "CLIENT_SECRET", "follows": false
    }]);
    let expected = json!({
        "namespace": "identity", "name": "invoice-sync", "publishedAt": "2026-11-25T12:00:00Z",
        "outputs": [{"kind": "Secret", "name": "invoice-sync-oauth", "immutable": false}],
        "pods": [{
            "name": "a", "phase": "Running", "deleting": false, "startedAt": BEFORE, "mayHoldOld": true, "needsRestart": true,
            "workload": {"kind": "StatefulSet", "name": "db"}, "uses": uses
        }],
        "workloads": [{"kind": "StatefulSet", "name": "db", "pods": 1, "podsThatMayHoldOld": 1, "uses": uses}]
    });
    assert_eq!(report, expected);
}
