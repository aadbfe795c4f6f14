//! Builders for tests: a test says only what matters to it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::registration::{
    Catalogue, CatalogueScope, ClientId, ClientType, Desired, Endpoints, Grant, Registered, Resource, Scope, SecretId,
    SecretInfo,
};
use crate::api::{AuthorizationServer, ExternalApplication};

/// A fixed instant.
pub const NOON: Timestamp = Timestamp::constant(1_790_000_000, 0);

fn parse<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("a fixture")
}

pub fn server() -> AuthorizationServer {
    parse(serde_json::json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "AuthorizationServer",
        "metadata": {"name": "cloud", "namespace": "identity", "uid": "server-uid", "generation": 1},
        "spec": {"uipath": {"url": "https://cloud.example.com", "organization": "acme"}, "credentialsRef": {"name": "admin"}}
    }))
}

/// A confidential application in the server's own namespace that asks for one application scope.
pub fn app() -> ExternalApplication {
    parse(serde_json::json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication",
        "metadata": {"name": "invoice-sync", "namespace": "identity", "uid": "app-uid", "generation": 1, "resourceVersion": "5"},
        "spec": {
            "serverRef": {"name": "cloud"}, "displayName": "Invoice sync", "type": "Confidential",
            "resources": [{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]
        }
    }))
}

pub fn desired() -> Desired {
    Desired {
        display_name: "Invoice sync".into(),
        client_type: ClientType::Confidential,
        redirect_uris: BTreeSet::new(),
        scopes: BTreeSet::from([Scope { name: "OR.Queues".into(), grant: Grant::Application }]),
    }
}

/// What the server says of a registration that is as `app` wants it.
pub fn registered(id: &str) -> Registered {
    let desired = desired();
    Registered {
        client_id: ClientId::new(id),
        display_name: desired.display_name,
        client_type: desired.client_type,
        redirect_uris: desired.redirect_uris,
        scopes: desired.scopes,
        secrets: vec![secret_info("1", None)],
    }
}

pub fn secret_info(id: &str, description: Option<&str>) -> SecretInfo {
    SecretInfo { id: SecretId::new(id), description: description.map(Into::into), created_at: None, expires_at: None }
}

pub fn endpoints() -> Endpoints {
    Endpoints {
        issuer: "https://cloud.example.com/identity_".into(),
        token_endpoint: "https://cloud.example.com/identity_/connect/token".into(),
        authorization_endpoint: Some("https://cloud.example.com/identity_/connect/authorize".into()),
        jwks_uri: Some("https://cloud.example.com/identity_/jwks".into()),
    }
}

pub fn catalogue() -> Catalogue {
    let scope = |name: &str, grants: &[Grant]| CatalogueScope {
        name: name.into(),
        display_name: None,
        description: None,
        grants: grants.iter().copied().collect(),
    };
    let both = [Grant::User, Grant::Application];
    let resource = |name: &str, scopes| Resource { name: name.into(), display_name: None, description: None, scopes };
    Catalogue {
        resources: vec![
            resource(
                "UiPath.Orchestrator",
                vec![scope("OR.Queues", &both), scope("OR.Jobs", &both), scope("OR.Default", &both)],
            ),
            resource("UiPath.AICenter", vec![scope("AI.Deployer", &[Grant::Application])]),
        ],
    }
}
