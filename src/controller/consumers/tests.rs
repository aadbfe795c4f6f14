use serde_json::{Value, json};

use super::*;

fn pod(name: &str, uid: &str, secret: Option<&str>, status: &Value) -> PodUse {
    let volumes = secret.map_or(json!([]), |secret| json!([{"name": "v", "secret": {"secretName": secret}}]));
    serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": name, "uid": uid, "labels": {"a": "b"}, "managedFields": [{"manager": "m"}]},
        "spec": {"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "settings"}}]}], "volumes": volumes},
        "status": status
    }))
    .expect("a pod")
}

fn app() -> ExternalApplication {
    let mut app = crate::domain::fixtures::app();
    app.metadata.namespace = Some("ns".into());
    app
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn list(index: &ConsumerIndex, pods: Vec<PodUse>) -> usize {
    index.take(&Event::Init);
    for pod in pods {
        index.take(&Event::InitApply(pod));
    }
    index.take(&Event::InitDone).len()
}

fn found(index: &ConsumerIndex, secret: &str) -> Option<Vec<String>> {
    let mut pods: Vec<_> = index.of("ns", &names(&[secret]))?.into_iter().map(|consumer| consumer.uid).collect();
    pods.sort();
    Some(pods)
}

#[test]
fn nothing_is_known_until_the_pods_have_been_listed() {
    let index = ConsumerIndex::default();
    index.take(&Event::Init);
    index.take(&Event::InitApply(pod("p", "1", Some("s"), &json!({}))));
    assert_eq!(found(&index, "s"), None);
    index.take(&Event::InitDone);
    assert_eq!(found(&index, "s"), Some(vec!["1".into()]));
    assert_eq!(found(&index, "t"), Some(vec![]));
    assert_eq!(index.of("elsewhere", &names(&["s"])), Some(vec![]));
}

#[test]
fn what_uses_no_secret_is_not_kept_and_of_the_rest_no_more_than_is_needed() {
    let index = ConsumerIndex::default();
    list(&index, vec![pod("a", "1", None, &json!({})), pod("b", "2", Some("s"), &json!({}))]);
    let state = index.state();
    assert_eq!(state.pods["ns"].keys().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
    let kept = pod("b", "2", Some("s"), &json!({}));
    assert!(kept.metadata.labels.is_none() && kept.metadata.managed_fields.is_none());
    assert_eq!(kept.secrets.len(), 1, "the ConfigMap is none of ours: {kept:?}");
}

#[test]
fn an_application_is_told_of_its_own_pods_while_it_waits_and_never_else() {
    let index = ConsumerIndex::default();
    list(&index, vec![]);
    let change = |name: &str, secret, status| index.take(&Event::Apply(pod(name, name, Some(secret), &status))).len();
    assert_eq!(change("a", "s", json!({})), 0, "nobody waits");
    index.wait_for(&app(), names(&["s", "r"]));
    assert_eq!(change("a", "s", json!({})), 0, "nothing has changed");
    assert_eq!(change("a", "s", json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z"})), 1);
    let ready = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]});
    assert_eq!(change("a", "s", ready), 1, "a rollout comes on");
    assert_eq!(change("b", "another", json!({})), 0);
    assert_eq!(index.take(&Event::Delete(pod("a", "a", Some("s"), &json!({})))).len(), 1);
    assert_eq!(change("c", "r", json!({})), 1);
    assert_eq!(list(&index, vec![]), 1, "anything may have happened meanwhile");
    index.forget(&app());
    assert_eq!(change("d", "s", json!({})), 0);
    assert_eq!(list(&index, vec![]), 0);
}

#[test]
fn a_pod_that_took_the_name_of_another_is_not_removed_with_it() {
    let index = ConsumerIndex::default();
    list(&index, vec![pod("p", "old", Some("s"), &json!({}))]);
    index.take(&Event::Apply(pod("p", "new", Some("s"), &json!({}))));
    index.take(&Event::Delete(pod("p", "old", Some("s"), &json!({}))));
    assert_eq!(found(&index, "s"), Some(vec!["new".into()]));
    index.take(&Event::Delete(pod("p", "new", Some("s"), &json!({}))));
    assert_eq!(found(&index, "s"), Some(vec![]));
}
