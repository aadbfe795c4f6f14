//! Applications at a server with dynamic client registration, from the YAML to a token: the operator, a real API server,
//! and a certified provider that is not ours.

use std::ops::Deref;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::oidc_provider::{Builder, INITIAL_ACCESS_TOKEN, Management, OidcProvider};
use crate::support::world::{Keys, LIMIT, Variations, World};
use crate::support::{Context as _, Error, Result, eventually, wait_for};

mod crash;
mod life;
mod limits;

/// The keys of a record.
const TOKEN: &str = "registration-access-token";
const TYPE: &str = "extapp.dev/registration";

/// A world with one more AuthorizationServer, `provider`, whose catalogue is declared.
struct Stage {
    world: World,
    provider: OidcProvider,
}

impl Deref for Stage {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Stage {
    async fn new(prefix: &str, builder: Builder) -> Result<Self> {
        Self::with(prefix, builder, Variations::default(), "").await
    }

    /// `more` stands below the `spec` of the AuthorizationServer.
    async fn with(prefix: &str, builder: Builder, variations: Variations, more: &str) -> Result<Self> {
        let provider = builder.start().await?;
        let world = World::with(prefix, variations).await?;
        let issuer = match &world.gate {
            Some(gate) => gate.in_front_of(provider.issuer()).await?,
            None => provider.issuer().to_owned(),
        };
        world
            .apply(&format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: initial}}\nstringData: {{initial-access-token: {INITIAL_ACCESS_TOKEN}}}\n---\n\
                 apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: provider}}\nspec:\n  registration: {{issuer: '{issuer}'}}\n  credentialsRef: {{name: initial}}\n{more}---\n\
                 apiVersion: extapp.dev/v1alpha1\nkind: ApiResource\nmetadata: {{name: invoices}}\nspec:\n  serverRef: {{name: provider}}\n  identifier: invoices\n  scopes:\n  - {{name: invoices.read, grants: [Application, User]}}\n  - {{name: invoices.write, grants: [Application]}}\n"
            ))
            .await?;
        let ready = |server: Option<&extapp::api::AuthorizationServer>| {
            let status = server.and_then(|server| server.status.as_ref());
            status.is_some_and(|status| crate::support::world::ready(&status.conditions))
        };
        wait_for(world.servers(), "provider", LIMIT, ready).await?;
        Ok(Self { world, provider })
    }

    /// Applies a confidential application with one application scope; `more` stands below its `spec`.
    async fn confidential(&self, name: &str, more: &str) -> Result<()> {
        self.confidential_in(self.home.name(), name, more).await
    }

    async fn confidential_in(&self, namespace: &str, name: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: provider, namespace: {}}}\n  type: Confidential\n  resources:\n  - name: invoices\n    applicationScopes: [invoices.read]\n{more}",
            self.home.name()
        );
        crate::support::apply_yaml_in(&self.client, namespace, &yaml).await.map(|_| ())
    }

    /// What an application published.
    async fn keys(&self, name: &str) -> Result<Keys> {
        self.secret(self.home.name(), &format!("{name}-oauth")).await
    }

    async fn rename(&self, name: &str, display_name: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"displayName": display_name}}));
        self.applications(self.home.name()).patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Every record of the namespace.
    async fn records(&self) -> Result<Vec<Secret>> {
        let api: Api<Secret> = self.secrets(self.home.name());
        let all = api.list(&ListParams::default().fields(&format!("type={TYPE}"))).await?;
        Ok(all.items)
    }

    /// The one record.
    async fn record(&self) -> Result<Secret> {
        let mut all = self.records().await?;
        if all.len() == 1 { Ok(all.remove(0)) } else { Err(Error::new(format!("{} records", all.len()))) }
    }

    /// The one client of this name.
    async fn client_named(&self, name: &str) -> Result<Value> {
        let mut found = self.provider.named(name).await?;
        if found.len() == 1 { Ok(found.remove(0)) } else { Err(Error::new(format!("{} clients {name}", found.len()))) }
    }

    async fn puts(&self, client_id: &str) -> Result<usize> {
        self.provider.requests("PUT", Some(client_id)).await
    }

    async fn creates(&self) -> Result<usize> {
        self.provider.requests("POST", None).await
    }

    /// The operator's Events about an application.
    async fn says(&self, name: &str, reason: &str) -> Result<String> {
        let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.client.clone(), self.home.name());
        let said = async || {
            let found = events.list(&ListParams::default()).await?.items.into_iter().find(|event| {
                let about = event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name);
                about && event.reason.as_deref() == Some(reason)
            });
            Ok(found.and_then(|event| event.note))
        };
        eventually(&format!("{reason} is said of {name}"), LIMIT, said).await
    }
}

/// One value of a Secret.
fn value(secret: &Secret, key: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.clone());
    String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

/// Whether a published credential gets a token, in the way that servers take by default.
async fn works(keys: &Keys) -> Result<bool> {
    let form = [("grant_type", "client_credentials"), ("scope", "invoices.read")];
    let http = reqwest::Client::new().post(&keys["token-uri"]).form(&form);
    let answer = http.basic_auth(&keys["client-id"], Some(&keys["client-secret"])).send().await?;
    Ok(answer.status().is_success())
}
