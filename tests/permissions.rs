//! What is granted to the operator is what it uses: no rule is superfluous, and none is missing.

use std::collections::BTreeSet;

use extapp::api::{ABANDON, ApiResource, AuthorizationServer};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::assets::scratch;
use crate::support::control_plane::{ControlPlane, OPERATOR, Options};
use crate::support::world::{LIMIT, Plane, Variations, World, ready};
use crate::support::{Context, Result, eventually, wait_for};

/// Who did what, of the operator alone. Watches do not end, so that their start has to do.
const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ['system:serviceaccount:extapp-system:extapp']
- level: None
";

/// A verb on a resource, as `patch extapp.dev/externalapplications/status`.
type Right = String;

fn granted(role: &ClusterRole) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in role.rules.iter().flatten() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| format!("{verb} {group}/{resource}")));
            }
        }
    }
    rights
}

/// What the audit log says was done, and what was refused for want of a right.
fn used(log: &str) -> Result<(BTreeSet<Right>, BTreeSet<Right>)> {
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).context(line)?;
        let object = &entry["objectRef"];
        // What is no resource, such as the version, is for everybody.
        let Some(resource) = object["resource"].as_str() else { continue };
        assert_eq!(entry["user"]["username"], OPERATOR, "{line}");
        let part = object["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
        let right = |verb: &str| format!("{verb} {}/{resource}{part}", object["apiGroup"].as_str().unwrap_or_default());
        let verb = entry["verb"].as_str().unwrap_or_default();
        let code = entry["responseStatus"]["code"].as_u64();
        if code == Some(403) {
            refused.insert(right(verb));
            continue;
        }
        done.insert(right(verb));
        if verb == "patch" && code == Some(201) {
            // To apply what is not there yet needs both.
            done.insert(right("create"));
        }
    }
    Ok((done, refused))
}

async fn edit(world: &World, name: &str, spec: Value) -> Result<()> {
    let api = world.applications(world.home.name());
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
    world.until_ready(name).await.map(|_| ())
}

/// A server whose certificates come from a ConfigMap.
async fn connect(world: &World) -> Result<()> {
    let certificate = std::fs::read_to_string(world.plane.scratch().join("apiserver.crt"))?;
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": certificate}});
    world.apply(&map.to_string()).await?;
    let trust = Patch::Merge(json!({"spec": {"caRef": {"name": "ca", "key": "ca.crt"}}}));
    world.servers().patch("cloud", &PatchParams::default(), &trust).await?;
    let connected = |server: Option<&AuthorizationServer>| {
        server.is_some_and(|server| {
            let status = server.status.as_ref();
            status.is_some_and(|s| s.observed_generation == server.metadata.generation && ready(&s.conditions))
        })
    };
    wait_for(world.servers(), "cloud", LIMIT, connected).await.map(|_| ())
}

/// Makes applications of each kind, damages what they have, and changes what it is called.
async fn serve(world: &World) -> Result<()> {
    let home = world.home.name();
    world.confidential(home, "worker", "").await?;
    world.non_confidential(home, "desktop", "").await?;
    world.until_ready("worker").await?;
    world.until_ready("desktop").await?;
    let secret = world.secret(home, "worker-oauth").await?;
    let wrong = Patch::Merge(json!({"stringData": {"scope": "wrong"}}));
    world.secrets(home).patch("worker-oauth", &PatchParams::default(), &wrong).await?;
    let repaired = async || Ok((world.secret(home, "worker-oauth").await? == secret).then_some(()));
    eventually("the Secret is repaired", LIMIT, repaired).await?;
    let details = world.config_map("desktop-oauth").await?;
    let wrong = Patch::Merge(json!({"data": {"client-id": "wrong"}}));
    world.config_maps(home).patch("desktop-oauth", &PatchParams::default(), &wrong).await?;
    let repaired = async || Ok((world.config_map("desktop-oauth").await? == details).then_some(()));
    eventually("the ConfigMap is repaired", LIMIT, repaired).await?;
    edit(world, "worker", json!({"outputs": [{"name": "versioned", "immutable": true}]})).await?;
    let more = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]);
    edit(world, "worker", json!({"resources": more})).await?;
    world.permit("worker", "worker", "  roles: [Allow to be Automation User]\n").await?;
    world.until_permitted("worker").await?;
    edit(world, "desktop", json!({"outputs": [{"name": "details"}]})).await
}

/// Registers although the answer is lost.
async fn lose(world: &World) -> Result<()> {
    let lost = json!({"match": {"method": "POST", "path_contains": "/api/ExternalClient"}, "before": false, "action": "close"});
    world.cloud.faults(&lost).await?;
    world.confidential(world.home.name(), "lost", "").await?;
    world.until_ready("lost").await.map(|_| ())
}

/// Changes an object of the catalogue, removes one, and makes one that the server does not know.
async fn meddle(world: &World) -> Result<()> {
    let api: Api<ApiResource> = Api::namespaced(world.client.clone(), world.home.name());
    let before = api.list(&ListParams::default()).await?.items;
    let (first, second) = (before[0].name_any(), before[1].name_any());
    let rename = Patch::Merge(json!({"spec": {"displayName": "Edited"}}));
    api.patch(&first, &PatchParams::default(), &rename).await?;
    api.delete(&second, &DeleteParams::default()).await?;
    let mut unknown = before[0].clone();
    unknown.metadata.name = Some("unknown".into());
    (unknown.metadata.resource_version, unknown.metadata.managed_fields) = (None, None);
    api.create(&PostParams::default(), &unknown).await?;
    let specs = |list: &[ApiResource]| list.iter().map(|object| json!(object.spec)).collect::<Vec<_>>();
    let repaired = async || {
        let now = api.list(&ListParams::default()).await?.items;
        Ok((specs(&now) == specs(&before)).then_some(()))
    };
    eventually("the catalogue is as it was", LIMIT, repaired).await
}

/// Deletes everything: one application while the server is down, then the others, then the server.
async fn end(world: &mut World) -> Result<()> {
    let home = world.home.name().to_owned();
    let applications = world.applications(&home);
    world.cloud.kill9()?;
    let abandon = Patch::Merge(json!({"metadata": {"annotations": {ABANDON: "true"}}}));
    applications.patch("lost", &PatchParams::default(), &abandon).await?;
    applications.delete("lost", &DeleteParams::default()).await?;
    world.until_gone(&home, "lost").await?;
    world.cloud.restart().await?;
    let gone = async || Ok(world.registrations("lost").await?.is_empty().then_some(()));
    eventually("what was left behind is deleted", LIMIT, gone).await?;
    for name in ["worker", "desktop"] {
        applications.delete(name, &DeleteParams::default()).await?;
        world.until_gone(&home, name).await?;
    }
    let servers = world.servers();
    servers.delete("cloud", &DeleteParams::default()).await?;
    let gone = async || Ok(servers.get_opt("cloud").await?.is_none().then_some(()));
    eventually("the server is gone", LIMIT, gone).await
}

async fn life(world: &mut World) -> Result<()> {
    connect(world).await?;
    serve(world).await?;
    lose(world).await?;
    meddle(world).await?;
    end(world).await
}

#[tokio::test]
async fn every_right_of_the_operator_is_used_and_none_is_missing() -> Result<()> {
    let files = scratch("audit-")?;
    let (policy, log) = (files.path().join("policy.yaml"), files.path().join("audit.log"));
    std::fs::write(&policy, POLICY)?;
    let options = Options::default()
        .installed()?
        .api_server_flag(format!("--audit-policy-file={}", policy.display()))
        .api_server_flag(format!("--audit-log-path={}", log.display()));
    let plane = Plane::Own(Box::new(ControlPlane::start(options).await?));
    let operator = vec!["--request-timeout".into(), "2".into()];
    let server = "  driftInterval: 1s\n".into();
    let mut world = World::on(plane, "rights", Variations { server, operator, ..Variations::default() }).await?;
    let lived = life(&mut world).await;
    world.operator.stop().await?;

    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let granted = granted(&roles.get("extapp").await?);
    let (used, refused) = used(&std::fs::read_to_string(&log)?)?;
    assert!(refused.is_empty(), "a rule is missing: {refused:?}");
    lived?;
    let superfluous: Vec<_> = granted.difference(&used).collect();
    assert!(superfluous.is_empty(), "nothing needs {superfluous:?}");
    let beyond: Vec<_> = used.difference(&granted).collect();
    assert!(beyond.is_empty(), "granted by something else: {beyond:?}");
    Ok(())
}
