//! The way over from hydra-maester: what it registered goes on working, under another operator.

use std::time::Duration;

use extapp::api::ExternalApplication;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Context as _, Hydra, Result, apply_yaml_in, eventually, wait_for};

/// As hydra-maester's own, without the rules of its fields.
const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: oauth2clients.hydra.ory.sh}
spec:
  group: hydra.ory.sh
  names: {kind: OAuth2Client, listKind: OAuth2ClientList, plural: oauth2clients, singular: oauth2client}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
";
const SECRET: &str = "invoices-oauth";

/// A world with a Hydra whose client `invoices` hydra-maester has registered for the first tenant.
struct Setting {
    world: World,
    hydra: Hydra,
    client_id: String,
    client_secret: String,
}

impl Setting {
    async fn new() -> Result<Self> {
        let variations = Variations { tenants: 2, ..Variations::default() };
        let (world, hydra) = tokio::try_join!(World::with("import", variations), Hydra::start())?;
        let server = json!({
            "apiVersion": "extapp.dev/v1alpha1", "kind": "AuthorizationServer", "metadata": {"name": "hydra"},
            "spec": {"hydra": {"url": hydra.url(), "adminUrl": hydra.admin_url()}, "allowedNamespaces": {"from": "All"}, "allowedAudiences": ["https://api.example.com"]}
        });
        world.apply(&server.to_string()).await?;
        let spec = json!({
            "clientName": "Invoices", "grantTypes": ["client_credentials"], "scope": "invoices.read invoices.write",
            "secretName": SECRET, "tokenEndpointAuthMethod": "client_secret_post", "audience": ["https://api.example.com"]
        });
        let tenant = world.tenants[0].name().to_owned();
        let registered = json!({
            "client_name": "Invoices", "grant_types": ["client_credentials"], "scope": "invoices.read invoices.write",
            "owner": format!("invoices/{tenant}"), "token_endpoint_auth_method": "client_secret_post",
            "audience": ["https://api.example.com"], "metadata": {"team": "billing"}
        });
        let made = hydra.administer(Method::POST, "clients", Some(&registered)).await?;
        let of = |key: &str| made[key].as_str().map(ToOwned::to_owned).context("credentials");
        let (client_id, client_secret) = (of("client_id")?, of("client_secret")?);
        install_definition(&world).await?;
        let object = json!({
            "apiVersion": "hydra.ory.sh/v1alpha1", "kind": "OAuth2Client", "metadata": {"name": "invoices"}, "spec": spec
        });
        let object = apply_yaml_in(&world.client, &tenant, &object.to_string()).await?.remove(0);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": SECRET, "ownerReferences": [{
                "apiVersion": "hydra.ory.sh/v1alpha1", "kind": "OAuth2Client", "name": "invoices", "uid": object.metadata.uid
            }]},
            "stringData": {"CLIENT_ID": client_id, "CLIENT_SECRET": client_secret}
        });
        apply_yaml_in(&world.client, &tenant, &secret.to_string()).await?;
        let connected = |server: Option<&extapp::api::AuthorizationServer>| {
            server.and_then(|server| server.status.as_ref()).is_some_and(|status| ready(&status.conditions))
        };
        wait_for(world.servers(), "hydra", LIMIT, connected).await?;
        Ok(Self { world, hydra, client_id, client_secret })
    }

    fn tenant(&self) -> &str {
        self.world.tenants[0].name()
    }

    /// What the command prints.
    fn import(&self) -> Result<String> {
        let server = format!("{}/hydra", self.world.home.name());
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_extapp"))
            .args(["import", "hydra-maester", "--server", &server, "--namespaces", self.tenant()])
            .env("KUBECONFIG", self.world.plane.admin_kubeconfig())
            .output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Result<()> {
        let file = self.world.plane.scratch().join(format!("{}.yaml", extapp::clock::random_id()));
        std::fs::write(&file, input)?;
        let output = self.world.plane.kubectl(arguments).arg("-f").arg(&file).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    async fn until_ready(&self) -> Result<()> {
        let is = |app: Option<&ExternalApplication>| {
            app.and_then(|app| app.status.as_ref()).is_some_and(|status| ready(&status.conditions))
        };
        wait_for(self.world.applications(self.tenant()), "invoices", LIMIT, is).await.map(|_| ())
    }

    async fn authenticates(&self) -> Result<bool> {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "invoices.read"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
        ];
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.post(format!("{}/oauth2/token", self.hydra.url().trim_end_matches('/'))).form(&form).send();
        Ok(answer.await?.status() == StatusCode::OK)
    }
}

/// The definition is the cluster's, and other tests may be installing it too.
async fn install_definition(world: &World) -> Result<()> {
    apply_yaml_in(&world.client, "default", DEFINITION).await?;
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let served = |definition: Option<&CustomResourceDefinition>| {
        let conditions = definition.and_then(|definition| definition.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Established" && c.status == "True"))
    };
    wait_for(api, "oauth2clients.hydra.ory.sh", LIMIT, served).await.map(|_| ())
}

#[tokio::test]
async fn a_client_of_hydra_maester_is_taken_over_with_its_secret_and_no_workload_notices() -> Result<()> {
    let setting = Setting::new().await?;
    let (world, tenant) = (&setting.world, setting.tenant());
    let printed = setting.import()?;
    assert!(!printed.contains(&setting.client_secret), "no secret is printed");
    setting.kubectl(&["apply", "--server-side"], &printed)?;
    setting.until_ready().await?;
    let keys = world.secret(tenant, SECRET).await?;
    assert_eq!((&keys["CLIENT_ID"], &keys["CLIENT_SECRET"]), (&setting.client_id, &setting.client_secret));
    assert!(keys["TOKEN_URI"].starts_with(&setting.hydra.url()), "what is new is added");
    assert!(setting.authenticates().await?);
    let client = setting.hydra.client(&setting.client_id).await?.context("the client")?;
    assert_eq!(client["metadata"]["team"], "billing", "what is not ours is kept");
    assert_eq!(client["audience"], json!(["https://api.example.com"]));
    assert_eq!(setting.hydra.clients("Invoices").await?.len(), 1, "nothing is registered anew");
    let object = world.applications(tenant).get("invoices").await?;
    let status = object.status.context("a status")?;
    assert_eq!(status.client_id.as_ref(), Some(&setting.client_id));
    assert_eq!(status.credentials.len(), 1, "{:?}", status.credentials);

    // The old object goes, and takes nothing with it.
    let kind = GroupVersionKind::gvk("hydra.ory.sh", "v1alpha1", "OAuth2Client");
    let kind = ApiResource::from_gvk_with_plural(&kind, "oauth2clients");
    let old: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), tenant, &kind);
    assert_eq!(old.get("invoices").await?.data["spec"]["deletionPolicy"], "Orphan");
    old.delete("invoices", &DeleteParams::default()).await?;
    let alone = async || {
        let owners: Vec<OwnerReference> =
            world.secrets(tenant).get(SECRET).await?.metadata.owner_references.unwrap_or_default();
        Ok((owners.len() == 1 && owners[0].kind == "ExternalApplication").then_some(()))
    };
    eventually("the Secret belongs to the application alone", Duration::from_mins(2), alone).await?;
    assert_eq!(world.secret(tenant, SECRET).await?["CLIENT_SECRET"], setting.client_secret);
    assert!(setting.authenticates().await?);
    Ok(())
}

#[tokio::test]
async fn nobody_takes_over_a_client_whose_secret_they_do_not_have() -> Result<()> {
    let setting = Setting::new().await?;
    setting.kubectl(&["apply", "--server-side"], &setting.import()?)?;
    setting.until_ready().await?;
    let thief = setting.world.tenants[1].name();
    let grafana = json!({
        "client_id": "grafana", "client_secret": "grafanas", "client_name": "Grafana",
        "grant_types": ["client_credentials"], "scope": "invoices.read"
    });
    setting.hydra.administer(Method::POST, "clients", Some(&grafana)).await?;
    let before = setting.hydra.client("grafana").await?;
    let application = |name: &str| {
        json!({
            "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "metadata": {"name": name},
            "spec": {
                "serverRef": {"name": "hydra", "namespace": setting.world.home.name()}, "type": "Confidential",
                "resources": [{"name": "imported", "applicationScopes": ["invoices.read"]}],
                "outputs": [{"name": "stolen"}], "adopt": {"clientId": "grafana"}
            }
        })
    };
    let apply =
        async |object: Value| apply_yaml_in(&setting.world.client, thief, &object.to_string()).await.map(|_| ());
    apply(application("thief")).await?;
    let said = setting.world.until_refused(thief, "thief", "AdoptionRefused").await?;
    assert!(said.contains("allowedAdoptions"), "{said}");
    // A Secret of their own making, with a guess in it, proves nothing.
    apply(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "stolen", "annotations": {"extapp.dev/given-to": "guesser"}},
        "stringData": {"client-id": "grafana", "client-secret": "a guess"}
    }))
    .await?;
    apply(application("guesser")).await?;
    setting.world.until_refused(thief, "guesser", "AdoptionRefused").await?;
    assert_eq!(setting.hydra.client("grafana").await?, before, "nothing was changed there");
    assert_eq!(setting.world.secret(thief, "stolen").await?["client-secret"], "a guess");
    Ok(())
}
