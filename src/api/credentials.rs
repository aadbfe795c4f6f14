//! What is said of an application's credentials.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One credential of the registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// The server's name for it.
    #[schemars(length(max = 256))]
    pub id: String,
    /// Secret, or Federated: a token of another issuer.
    pub kind: CredentialKind,
    /// Pending: made, and not published yet. Active: published; of a federated one, accepted. Retiring: replaced; removed
    /// at the server at `expiresAt`.
    pub state: CredentialState,
    /// Of a federated one, its name in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub name: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it ends. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the token endpoint last accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// Of a retiring one: how many running pods may still use it, because they were started before the current one was
    /// published. Only where the operator watches consumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<i32>,
}

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialKind {
    Secret,
    Federated,
}

/// Where a credential is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialState {
    Pending,
    Active,
    Retiring,
}
