//! `extapp who-uses`

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::at_home;
use crate::support::world::World;
use crate::support::{Result, apply_yaml_in};

const WORKLOADS: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: asleep}
spec:
  replicas: 0
  selector: {matchLabels: {app: asleep}}
  template:
    metadata: {labels: {app: asleep}}
    spec:
      containers:
      - {name: app, image: example.com/app, envFrom: [{secretRef: {name: worker-oauth}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: early}
spec:
  containers:
  - name: app
    image: example.com/app
    volumeMounts: [{name: oauth, mountPath: /etc/oauth, subPath: client-secret}]
  volumes:
  - name: oauth
    projected: {sources: [{secret: {name: worker-oauth}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  containers:
  - name: app
    image: example.com/app
    env: [{name: CLIENT_SECRET, valueFrom: {secretKeyRef: {name: worker-oauth, key: client-secret}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: stranger}
spec:
  containers: [{name: app, image: example.com/app, envFrom: [{secretRef: {name: another}}]}]
";

/// Says what a kubelet would.
async fn running(world: &World, pod: &str, since: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), world.home.name());
    let status = json!({"status": {"phase": "Running", "startTime": since}});
    pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

#[tokio::test]
async fn who_uses_shows_pods_and_workloads_and_who_may_have_the_old_secret() -> Result<()> {
    let world = World::new("who-uses").await?;
    let home = world.home.name();
    world.confidential(home, "worker", "").await?;
    world.until_ready("worker").await?;
    let nobody = at_home(&world, &["who-uses", "worker"]).await?;
    assert_eq!(nobody.code, Some(0), "{}", nobody.all());
    assert!(nobody.out.contains("Nobody uses them"), "{}", nobody.out);

    let before = world.secret(home, "worker-oauth").await?;
    let rotated = at_home(&world, &["rotate", "worker", "--wait"]).await?;
    assert_eq!(rotated.code, Some(0), "{}", rotated.all());
    apply_yaml_in(&world.client, home, WORKLOADS).await?;
    running(&world, "early", "2020-01-01T00:00:00Z").await?;
    running(&world, "late", "2100-01-01T00:00:00Z").await?;
    let ran = at_home(&world, &["who-uses", "worker", "-o", "json"]).await?;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.all());
    let said = ran.json()?;
    let pods: Vec<_> = said["pods"].as_array().into_iter().flatten().collect();
    let facts = |index: usize| {
        let pod = pods[index];
        (pod["name"].as_str().unwrap_or_default(), &pod["mayHoldOld"], &pod["needsRestart"], &pod["uses"][0]["follows"])
    };
    assert_eq!(pods.len(), 2, "{said}");
    assert_eq!(facts(0), ("early", &json!(true), &json!(true), &json!(false)));
    assert_eq!(facts(1), ("late", &json!(false), &json!(false), &json!(false)));
    assert!(said["publishedAt"].is_string());
    let workloads = &said["workloads"];
    assert_eq!((&workloads[0]["kind"], &workloads[0]["name"]), (&json!("Deployment"), &json!("asleep")), "{said}");
    assert_eq!((&workloads[0]["pods"], &workloads[0]["uses"][0]["how"]), (&json!(0), &json!("EnvFrom")));

    let text = at_home(&world, &["who-uses", "worker"]).await?;
    assert!(text.out.contains("until it is restarted") && text.out.contains("Deployment/asleep"), "{}", text.out);
    let after = world.secret(home, "worker-oauth").await?;
    for ran in [ran, text] {
        ran.shows_none_of(&[&before["client-secret"], &after["client-secret"]]);
    }
    Ok(())
}
