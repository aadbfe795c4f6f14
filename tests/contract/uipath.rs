//! UiPath, played by this program's own stand-in.

use axum::http::Method;
use extapp::domain::federation::Trust;
use extapp::domain::registration::ClientId;
use extapp::server::any::AnyServer;
use serde_json::{Value, json};

use super::{Stage, build, contract};
use crate::support::gate::Gate;
use crate::support::{Context as _, LocalCloud, Program, Result, shared};

struct Cloud {
    stand_in: LocalCloud,
    gate: Gate,
    server: AnyServer,
}

impl Stage for Cloud {
    async fn set() -> Result<Self> {
        let program = Program::new(env!("CARGO_BIN_EXE_extapp"));
        let authority = shared().await?.certificate().display().to_string();
        let cloud = LocalCloud::builder(program).arg("--issuer-ca").arg(authority).start().await?;
        let gate = Gate::default();
        let url = gate.in_front_of(cloud.base_url()).await?;
        let manifest: Value = serde_saphyr::from_str(&cloud.credentials_manifest()?)?;
        let of = |key: &str| manifest["stringData"][key].as_str().unwrap_or_default().to_owned();
        let spec = json!({
            "uipath": {"url": url, "organization": cloud.organization()}, "credentialsRef": {"name": "admin"}
        });
        let (id, secret) = (of("client-id"), of("client-secret"));
        let server = build(spec, &[("client-id", &id), ("client-secret", &secret)])?;
        Ok(Self { stand_in: cloud, gate, server })
    }

    fn server(&self) -> &AnyServer {
        &self.server
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn create(&self) -> (Method, &'static str) {
        (Method::POST, "/api/ExternalClient")
    }

    fn read(&self, id: &ClientId) -> (Method, String) {
        (Method::GET, format!("/{id}"))
    }

    fn scopes(&self) -> [&'static str; 2] {
        ["OR.Queues", "OR.Jobs"]
    }

    fn refuses_unknown_scopes(&self) -> bool {
        true
    }

    async fn by_hand(&self, name: &str) -> Result<ClientId> {
        let body = json!({
            "name": name, "isConfidential": true, "partitionGlobalId": self.stand_in.organization_id().await?,
            "scopes": [{"name": "OR.Queues", "type": 1}]
        });
        let made = self.stand_in.administer(Method::POST, "ExternalClient", Some(body)).await?;
        Ok(ClientId::new(made["id"].as_str().context("an id")?))
    }

    async fn seen(&self, id: &ClientId) -> Result<Value> {
        let path = format!("ExternalClient/{{organization}}/{id}");
        match self.stand_in.administer(Method::GET, &path, None).await {
            Err(error) if error.to_string().contains("404") => Ok(Value::Null),
            other => other,
        }
    }

    /// UiPath's registrations have nothing that the backend does not set.
    async fn touch(&self, _: &ClientId) -> Result<Option<(&'static str, Value)>> {
        Ok(None)
    }

    /// The API server issues the tokens of its service accounts, and everybody can look up its keys.
    async fn trusts(&self) -> Result<Option<[Trust; 2]>> {
        let trust = |name: &str, issuer: &str| Trust {
            name: name.into(),
            issuer: issuer.into(),
            audience: format!("audience of {name}"),
            subject: format!("system:serviceaccount:team:{name}"),
        };
        let issuer = shared().await?.url();
        Ok(Some([trust("one", issuer), trust("another", issuer)]))
    }
}

contract!(Cloud);
