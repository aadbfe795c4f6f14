//! Who may do what with extapp's kinds: people with each duty, and with Kubernetes' own roles, send real requests.

use axum::http::{Method, Request};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::support::world::LIMIT;
use crate::support::{Context, ControlPlane, Error, Result, TestNamespace, apply_yaml_in, eventually, shared};

const GROUP: &str = "/apis/extapp.dev/v1alpha1";
const SERVERS: &str = "authorizationservers";
const APPLICATIONS: &str = "externalapplications";
const ASSIGNMENTS: &str = "roleassignments";
const CATALOGUE: &str = "apiresources";
const KINDS: [&str; 4] = [SERVERS, APPLICATIONS, ASSIGNMENTS, CATALOGUE];
const SECRETS: &str = "secrets";
const DUTIES: [&str; 4] =
    ["extapp-application-registrar", "extapp-permission-administrator", "extapp-server-administrator", "extapp-viewer"];

/// Somebody who is bound to one ClusterRole in one namespace, and what follows from it.
#[derive(Clone, Copy)]
struct Person {
    role: &'static str,
    writes: &'static [&'static str],
    reads: &'static [&'static str],
}

/// Writers of a kind read it too.
const PEOPLE: [Person; 8] = [
    Person { role: DUTIES[0], writes: &[APPLICATIONS], reads: &[SERVERS, CATALOGUE, ASSIGNMENTS] },
    Person { role: DUTIES[1], writes: &[ASSIGNMENTS], reads: &[APPLICATIONS] },
    Person { role: DUTIES[2], writes: &[SERVERS, CATALOGUE], reads: &[APPLICATIONS] },
    Person { role: DUTIES[3], writes: &[], reads: &KINDS },
    // Kubernetes' own: Secrets are theirs without us.
    Person { role: "view", writes: &[], reads: &KINDS },
    Person { role: "edit", writes: &[SECRETS], reads: &KINDS },
    Person { role: "admin", writes: &[SECRETS], reads: &KINDS },
    Person { role: "none", writes: &[], reads: &[] },
];

/// One object of each kind, with the name `sample`.
const OBJECTS: &str = "
apiVersion: extapp.dev/v1alpha1
kind: AuthorizationServer
metadata: {name: sample}
spec: {uipath: {url: 'https://cloud.uipath.com', organization: acme}, credentialsRef: {name: sample}}
---
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: sample}
spec:
  serverRef: {name: sample}
  type: Confidential
  resources: [{name: UiPath.Orchestrator, applicationScopes: [OR.Default]}]
---
apiVersion: extapp.dev/v1alpha1
kind: RoleAssignment
metadata: {name: sample}
spec: {applicationRef: {name: sample}, tenant: DefaultTenant, roles: [Allow to be Automation User]}
---
apiVersion: extapp.dev/v1alpha1
kind: ApiResource
metadata: {name: sample}
spec: {serverRef: {name: sample}, identifier: Invoices}
---
apiVersion: v1
kind: Secret
metadata: {name: sample}
";

impl Person {
    /// Acts as somebody of this role: the administrator in their name.
    async fn client(&self, plane: &ControlPlane) -> Result<Client> {
        let mut file = Kubeconfig::read_from(plane.admin_kubeconfig())?;
        for user in file.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
            user.impersonate = Some(format!("someone-{}", self.role));
        }
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    fn binding(&self) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": self.role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.role},
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("someone-{}", self.role)
            }]
        })
    }

    fn may(&self, act: &Act) -> bool {
        let writes = self.writes.contains(&act.resource);
        let reads = writes || self.reads.contains(&act.resource);
        act.part.is_empty() && if act.verb == "read" { reads } else { writes }
    }
}

/// One request.
struct Act {
    verb: &'static str,
    resource: &'static str,
    /// A subresource, with its slash.
    part: &'static str,
    method: Method,
    path: String,
    content: &'static str,
    body: Value,
}

/// Everything that can be tried with one kind. Nothing is really changed, so that the order does not matter.
fn acts(namespace: &str, resource: &'static str, sample: &Value) -> Vec<Act> {
    let root = if resource == SECRETS { "/api/v1" } else { GROUP };
    let all = format!("{root}/namespaces/{namespace}/{resource}");
    let one = format!("{all}/sample");
    let mut new = sample.clone();
    new["metadata"] = json!({"name": "another"});
    let act = |verb, part: &'static str, method: Method, path: String, body: Value| {
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        Act { verb, resource, part, method, path, content, body }
    };
    let dry = |path: &str| format!("{path}?dryRun=All");
    let nothing = || json!({});
    let mut acts = vec![
        act("read", "", Method::GET, one.clone(), Value::Null),
        act("read", "", Method::GET, all.clone(), Value::Null),
        act("read", "", Method::GET, format!("{all}?watch=true&timeoutSeconds=1"), Value::Null),
        act("write", "", Method::POST, dry(&all), new),
        act("write", "", Method::PUT, dry(&one), sample.clone()),
        act("write", "", Method::PATCH, dry(&one), nothing()),
        act("write", "", Method::DELETE, dry(&one), Value::Null),
        act("write", "", Method::DELETE, dry(&all), Value::Null),
    ];
    if resource != SECRETS {
        for part in ["/status", "/finalizers"] {
            let place = format!("{one}{part}");
            acts.push(act("read", part, Method::GET, place.clone(), Value::Null));
            acts.push(act("write", part, Method::PUT, dry(&place), sample.clone()));
            acts.push(act("write", part, Method::PATCH, dry(&place), nothing()));
        }
    }
    acts
}

/// The status of the answer; its body, such as the events of a watch, is not waited for.
async fn attempt(client: &Client, method: &Method, path: &str, content: &str, body: &Value) -> Result<u16> {
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let request = Request::builder().method(method.clone()).uri(path).header("content-type", content);
    Ok(client.send(request.body(Body::from(bytes))?).await?.status().as_u16())
}

async fn bound() -> Result<(&'static ControlPlane, TestNamespace)> {
    let plane = shared().await?;
    let namespace = plane.unique_namespace("duties").await?;
    let admin = plane.admin_client().await?;
    apply_yaml_in(&admin, namespace.name(), OBJECTS).await?;
    for person in PEOPLE.iter().filter(|person| person.role != "none") {
        apply_yaml_in(&admin, namespace.name(), &person.binding().to_string()).await?;
        let client = person.client(plane).await?;
        let path = format!("{GROUP}/namespaces/{namespace}/{APPLICATIONS}");
        let counts = async || {
            let status = attempt(&client, &Method::GET, &path, "application/json", &Value::Null).await?;
            Ok((status == 200).then_some(()))
        };
        eventually(&format!("{} counts", person.role), LIMIT, counts).await?;
    }
    Ok((plane, namespace))
}

#[tokio::test]
async fn everybody_can_do_exactly_what_their_duty_is() -> Result<()> {
    let (plane, namespace) = bound().await?;
    let admin = plane.admin_client().await?;
    let (mut tried, mut surprises) = (0, Vec::new());
    for resource in KINDS.into_iter().chain([SECRETS]) {
        let root = if resource == SECRETS { "/api/v1" } else { GROUP };
        let path = format!("{root}/namespaces/{namespace}/{resource}/sample");
        let sample: Value = admin.request(Request::get(path).body(Vec::new())?).await?;
        let acts = acts(namespace.name(), resource, &sample);
        for person in &PEOPLE {
            let client = person.client(plane).await?;
            for act in &acts {
                let status = attempt(&client, &act.method, &act.path, act.content, &act.body).await?;
                let expected = if person.may(act) { matches!(status, 200 | 201) } else { status == 403 };
                if !expected {
                    surprises.push(format!("{}: {} {} was answered with {status}", person.role, act.method, act.path));
                }
                tried += 1;
            }
        }
    }
    assert!(surprises.is_empty(), "\n{}\n", surprises.join("\n"));
    assert_eq!(tried, PEOPLE.len() * (KINDS.len() * 14 + 8), "everything was tried");
    Ok(())
}

#[tokio::test]
async fn a_duty_holds_only_where_it_is_bound() -> Result<()> {
    let (plane, _bound) = bound().await?;
    let other = plane.unique_namespace("duties-elsewhere").await?;
    for person in &PEOPLE {
        let client = person.client(plane).await?;
        for kind in KINDS {
            for path in [format!("{GROUP}/{kind}"), format!("{GROUP}/namespaces/{other}/{kind}")] {
                let status = attempt(&client, &Method::GET, &path, "application/json", &Value::Null).await?;
                assert_eq!(status, 403, "{}: {path}", person.role);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn nobody_takes_a_duty_that_is_not_theirs_not_even_who_administers_the_namespace() -> Result<()> {
    let (plane, namespace) = bound().await?;
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    let bindings = format!("{roles}/{namespace}/rolebindings?dryRun=All");
    for person in &PEOPLE {
        let client = person.client(plane).await?;
        for duty in DUTIES {
            let mut binding = person.binding();
            binding["metadata"]["name"] = json!("taken");
            binding["roleRef"]["name"] = json!(duty);
            let status = attempt(&client, &Method::POST, &bindings, "application/json", &binding).await?;
            // Who may look at everything may let others look too.
            let passes_on = person.role == "admin" && duty == "extapp-viewer";
            assert_eq!(status, if passes_on { 201 } else { 403 }, "{} takes {duty}", person.role);
        }
        let own = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "own"},
            "rules": [{"apiGroups": ["extapp.dev"], "resources": [ASSIGNMENTS, APPLICATIONS], "verbs": ["create"]}]
        });
        let path = format!("{roles}/{namespace}/roles?dryRun=All");
        let status = attempt(&client, &Method::POST, &path, "application/json", &own).await?;
        assert_eq!(status, 403, "{} writes a role", person.role);
    }
    Ok(())
}

#[tokio::test]
async fn the_built_in_roles_can_look_and_no_more() -> Result<()> {
    let (plane, _bound) = bound().await?;
    let admin = plane.admin_client().await?;
    for name in ["view", "edit", "admin"] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
        let role: Value = admin.request(Request::get(path).body(Vec::new())?).await?;
        let rules = role["rules"].as_array().context("rules")?;
        let ours: Vec<&Value> = rules.iter().filter(|rule| rule["apiGroups"] == json!(["extapp.dev"])).collect();
        if ours.len() != 1 {
            return Err(Error::new(format!("{name}: {ours:?}")));
        }
        assert_eq!(ours[0]["verbs"], json!(["get", "list", "watch"]), "{name}");
    }
    Ok(())
}
