use super::*;
use crate::domain::fixtures::NOON;

fn spec(json: serde_json::Value) -> PodSpec {
    serde_json::from_value(json).expect("the spec of a pod")
}

fn volume(container: &str, path: &str, sub_path: bool) -> Use {
    Use::Volume { container: container.into(), path: path.into(), sub_path }
}

const SECRET: OutputKind = OutputKind::Secret;

#[test]
fn a_secret_is_found_wherever_a_pod_can_name_it() {
    let mount = |path: &str| serde_json::json!([{"name": "v", "mountPath": path}]);
    let volume_of = |source: serde_json::Value| {
        let mut volume = source;
        volume["name"] = "v".into();
        spec(serde_json::json!({"containers": [{"name": "c", "volumeMounts": mount("/in")}], "volumes": [volume]}))
    };
    let of_container = |part: &str, body: serde_json::Value| {
        let mut pod = serde_json::json!({"containers": [{"name": "other"}]});
        let mut container = body;
        container["name"] = "c".into();
        pod[part] = serde_json::json!([container]);
        spec(pod)
    };
    let env = serde_json::json!({"env": [{"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "client-secret"}}}]});
    let env_from = serde_json::json!({"envFrom": [{"secretRef": {"name": "s"}}]});
    let as_variable = Use::Env { container: "c".into(), variable: "SECRET".into() };
    let as_variables = Use::EnvFrom { container: "c".into() };
    let cases = [
        (volume_of(serde_json::json!({"secret": {"secretName": "s"}})), volume("c", "/in", false)),
        (
            volume_of(serde_json::json!({"projected": {"sources": [{"secret": {"name": "s"}}]}})),
            volume("c", "/in", false),
        ),
        (
            volume_of(serde_json::json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}})),
            volume("c", "/in", false),
        ),
        (of_container("containers", env.clone()), as_variable.clone()),
        (of_container("initContainers", env.clone()), as_variable.clone()),
        (of_container("ephemeralContainers", env), as_variable),
        (of_container("containers", env_from.clone()), as_variables.clone()),
        (of_container("initContainers", env_from.clone()), as_variables.clone()),
        (of_container("ephemeralContainers", env_from), as_variables),
    ];
    for (pod, expected) in cases {
        assert_eq!(uses(&pod, SECRET, "s"), [expected], "{pod:?}");
        assert_eq!(uses(&pod, OutputKind::ConfigMap, "s"), [], "{pod:?}");
        assert_eq!(uses(&pod, SECRET, "another"), [], "{pod:?}");
        assert_eq!(used(&pod), BTreeSet::from([(SECRET, "s".to_owned())]), "{pod:?}");
    }
}

#[test]
fn a_config_map_is_no_secret_of_the_same_name() {
    let pod = spec(serde_json::json!({
        "containers": [{"name": "c",
            "env": [{"name": "ID", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "client-id"}}}],
            "envFrom": [{"configMapRef": {"name": "m"}}],
            "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}]}],
        "volumes": [{"name": "a", "configMap": {"name": "m"}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "m"}}]}}]
    }));
    let found = uses(&pod, OutputKind::ConfigMap, "m");
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(uses(&pod, SECRET, "m"), []);
    assert_eq!(used(&pod), BTreeSet::from([(OutputKind::ConfigMap, "m".to_owned())]));
}

#[test]
fn a_volume_is_told_for_each_mount_and_also_where_no_container_mounts_it() {
    let pod = spec(serde_json::json!({
        "containers": [
            {"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/one"}, {"name": "v", "mountPath": "/two", "subPath": "client-secret"}]},
            {"name": "b", "volumeMounts": [{"name": "v", "mountPath": "/three", "subPathExpr": "$(KEY)"}]}
        ],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "secret": {"secretName": "t"}}]
    }));
    assert_eq!(
        uses(&pod, SECRET, "s"),
        [volume("a", "/one", false), volume("a", "/two", true), volume("b", "/three", true)]
    );
    assert_eq!(uses(&pod, SECRET, "t"), [volume("", "", false)]);
}

#[test]
fn only_whole_volumes_follow_a_new_value_without_a_restart() {
    assert!(volume("c", "/in", false).follows());
    assert!(!volume("c", "/in", true).follows());
    assert!(!Use::EnvFrom { container: "c".into() }.follows());
    assert!(!Use::Env { container: "c".into(), variable: "V".into() }.follows());
}

fn pod(phase: &str, started: Option<i64>) -> Consumer {
    let at = |seconds: i64| (NOON + SignedDuration::from_secs(seconds)).to_string();
    let mut status = serde_json::json!({"phase": phase});
    if let Some(seconds) = started {
        status["startTime"] = at(seconds).into();
    }
    let metadata = serde_json::json!({"name": "p", "uid": "u", "deletionTimestamp": at(0)});
    Consumer::of(&serde_json::from_value(serde_json::json!({"metadata": metadata, "status": status})).expect("a pod"))
}

#[test]
fn a_pod_may_hold_the_old_value_from_its_start_before_the_publication_until_it_has_ended() {
    let cases = [
        ("Running", Some(-1), true),
        ("Pending", Some(-1), true),
        ("Unknown", Some(-1), true),
        ("Running", Some(0), true),
        ("Running", Some(1), false),
        ("Pending", None, false),
        ("Succeeded", Some(-1), false),
        ("Failed", Some(-1), false),
    ];
    for (phase, started, holds) in cases {
        let consumers = [pod(phase, started)];
        assert_eq!(holders(&consumers, NOON), usize::from(holds), "{phase} {started:?}");
    }
}

#[test]
fn that_nobody_holds_the_old_value_is_not_believed_before_kubelets_had_time_to_tell() {
    let soon = NOON + SETTLING - SignedDuration::from_secs(1);
    assert_eq!(settled_holders(&[], NOON, soon), None);
    assert_eq!(settled_holders(&[], NOON, NOON + SETTLING), Some(0));
    assert_eq!(settled_holders(&[pod("Running", Some(-1))], NOON, soon), Some(1));
}

fn status(last: Option<i64>, created: Option<i64>) -> ExternalApplicationStatus {
    let at = |seconds: i64| (NOON + SignedDuration::from_secs(seconds)).to_string();
    serde_json::from_value(serde_json::json!({
        "observedGeneration": 1,
        "rotation": {"lastTime": last.map(at)},
        "credentials": [
            {"id": "1", "kind": "Secret", "state": "Retiring", "createdAt": at(500)},
            {"id": "2", "kind": "Secret", "state": "Active", "createdAt": created.map(at)},
        ]
    }))
    .expect("a status")
}

#[test]
fn a_secret_was_published_at_its_rotation_or_when_it_was_made_whichever_is_later() {
    let after = |seconds: i64| Some(NOON + SignedDuration::from_secs(seconds));
    assert_eq!(published(&status(Some(100), Some(90))), after(100));
    assert_eq!(published(&status(Some(100), Some(200))), after(200), "made anew after a loss");
    assert_eq!(published(&status(Some(100), None)), after(100));
    assert_eq!(published(&status(None, Some(90))), after(90));
    assert_eq!(published(&status(None, None)), None);
}
