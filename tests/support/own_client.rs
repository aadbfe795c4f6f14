//! The operator's own registration at a local cloud, apart from the administrator that a test itself uses.

use kube::api::{Patch, PatchParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::error::{Context, Result};
use super::world::World;

/// Where the operator finds its credentials in a world.
pub const SECRET: &str = "local-cloud-admin";

pub struct OwnClient {
    pub id: String,
    /// The secret that it was made with: the server's name for it, and its value.
    pub first: (String, String),
}

impl OwnClient {
    /// Registers one, and puts its credentials into the Secret that the operator reads.
    pub async fn hand_over(world: &World) -> Result<Self> {
        let body = json!({
            "partitionGlobalId": world.organization().await?, "name": "extapp operator", "isConfidential": true,
            "redirectUri": null, "scopes": [{"name": "PM.OAuthApp", "type": 1}]
        });
        let made = world.identity(Method::POST, "ExternalClient", Some(body)).await?;
        let id = made["id"].as_str().context("no id")?.to_owned();
        let value = made["secret"].as_str().context("no secret")?.to_owned();
        let own = Self { first: (made["secrets"][0]["id"].to_string(), value), id };
        put(world, json!({"client-id": own.id, "client-secret": own.first.1})).await?;
        Ok(own)
    }

    /// Has the server make one more secret; the server's name for it, and its value.
    pub async fn further(&self, world: &World, expiry: Option<jiff::Timestamp>) -> Result<(String, String)> {
        further(world, &self.id, expiry).await
    }

    /// The server's names for its secrets.
    pub async fn secrets(&self, world: &World) -> Result<Vec<String>> {
        let whole = world.identity(Method::GET, &format!("ExternalClient/{{organization}}/{}", self.id), None).await?;
        Ok(whole["secrets"].as_array().into_iter().flatten().map(|secret| secret["id"].to_string()).collect())
    }

    pub async fn remove(&self, world: &World, secret: &str) -> Result<()> {
        let path = format!("ExternalClient/{{organization}}/secrets/{secret}");
        world.identity(Method::DELETE, &path, None).await.map(|_| ())
    }
}

/// Has the server make one more secret for a registration.
pub async fn further(world: &World, client: &str, expiry: Option<jiff::Timestamp>) -> Result<(String, String)> {
    let body = json!({
        "clientId": client, "partitionGlobalId": world.organization().await?, "description": "made by hand",
        "expiryTime": expiry.map(|time| time.to_string())
    });
    let made = world.identity(Method::POST, "ExternalClient/GenerateSecret", Some(body)).await?;
    Ok((made["id"].to_string(), made["secret"].as_str().context("no secret")?.to_owned()))
}

/// Writes keys of the Secret by hand.
pub async fn put(world: &World, keys: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"stringData": keys}));
    world.secrets(world.home.name()).patch(SECRET, &PatchParams::default(), &patch).await?;
    Ok(())
}
