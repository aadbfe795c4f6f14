//! `AuthorizationServer`: where applications are registered, with which credentials, and who may use it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Deletion, DeletionPolicy, HumanDuration, LabelSelector};

/// An authorization server that external applications are registered at, for example an organization of UiPath
/// Automation Cloud. It belongs to the platform team: only who may write in this namespace chooses the server's URL and
/// the credentials that the operator uses there; applications only name it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "extapp.dev",
    version = "v1alpha1",
    kind = "AuthorizationServer",
    plural = "authorizationservers",
    shortname = "authsrv",
    category = "oauth",
    namespaced,
    status = "AuthorizationServerStatus",
    derive = "PartialEq",
    doc = "An authorization server that external applications are registered at.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name must have at most 63 characters: other objects are named after it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Issuer", type_ = "string", json_path = ".status.issuer"),
    printcolumn(name = "Applications", type_ = "integer", json_path = ".status.applications"),
    printcolumn(name = "Drifted", type_ = "integer", json_path = ".status.drifted", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.uipath), has(self.hydra), has(self.keycloak), has(self.registration)].filter(is, is).size() == 1")
    .message("say which server this is: set exactly one of spec.uipath, spec.hydra, spec.keycloak and spec.registration"))]
#[x_kube(validation = Rule::new("has(self.credentialsRef) || has(self.hydra) || has(self.registration)")
    .message("credentialsRef must be set: it names the Secret (keys client-id and client-secret) that the operator authenticates with"))]
pub struct AuthorizationServerSpec {
    /// A UiPath organization: Automation Cloud, Automation Suite, or a standalone Orchestrator with its Identity Server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uipath: Option<Uipath>,
    /// An Ory Hydra (version 2), through its admin API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydra: Option<Hydra>,
    /// A realm of a Keycloak (version 26), through its admin REST API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keycloak: Option<Keycloak>,
    /// Any server with dynamic client registration (RFC 7591), and with its management (RFC 7592) where it has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// The Secret with the operator's own credentials at the server, in the namespace of this object. For uipath and
    /// keycloak it is required and has the keys `client-id` and `client-secret`. For hydra it is optional: a bearer token
    /// for a proxy before the admin API under the key `token`. For registration it is optional: the initial access token
    /// under the key `initial-access-token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<SecretReference>,
    /// How long the operator's own previous secret stays valid after it was replaced on request (annotation
    /// `extapp.dev/rotate` on this object), for example `1h` (default). `0s`: it is removed at once, as after a leak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_overlap: Option<super::rotation::Overlap>,
    /// A ConfigMap with certificate authorities (PEM) to trust beside the system's, in the namespace of this object. For
    /// servers that a private authority certified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<ConfigMapKeyReference>,
    /// Which namespaces may register applications here. Default: only the namespace of this object. When consent is
    /// withdrawn, the registrations stay and nothing is written for them any more; one whose object is deleted then waits
    /// for `giveUpAfter` and is deleted from `status.pendingDeletions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Which scopes applications may ask for. A `*` is allowed as the last character: `OR.*`. Absent: any scope of the
    /// server's catalogue. An empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(s, s.matches('^[^*\\s]*[*]?$'))")
        .message("every entry must be one scope, such as OR.Jobs; `*` is allowed as its last character only, as in OR.*"))]
    pub allowed_scopes: Option<Vec<String>>,
    /// Which audiences applications of other namespaces may set in `settings.audiences`. A `*` is allowed as the last
    /// character. Absent: none; those of the server's own namespace may set any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(s, s.matches('^[^*\\s]*[*]?$'))")
        .message("every entry must be one audience; `*` is allowed as its last character only, as in https://api.example.com/*"))]
    pub allowed_audiences: Option<Vec<String>>,
    /// Which existing registrations applications of other namespaces may adopt, by client id. A `*` is allowed as the last
    /// character. Absent: at UiPath, any (its client ids cannot be guessed); elsewhere only those of which the application's
    /// namespace holds the client secret, in a Secret that is annotated with `extapp.dev/given-to`. Who holds that secret
    /// may always adopt, and so may applications of the server's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(s, s.matches('^[^*\\s]*[*]?$'))")
        .message("every entry must be one client id; `*` is allowed as its last character only, as in team-a-*"))]
    pub allowed_adoptions: Option<Vec<String>>,
    /// Limits on what namespaces may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What happens at the server when an application is deleted, where the application does not say it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// How the rotations of the applications here are spread, so that a fleet is never replaced all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<super::rotation::RotationPacing>,
    /// How often the server is compared with what is wanted, for example `10m` (default). One list call an interval, and
    /// a bounded number of detail reads; never one request for every application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_interval: Option<HumanDuration>,
    /// Stop all requests to this server, for all its applications, deletions included, until this is false again.
    #[serde(default)]
    pub suspend: bool,
}

/// Where a UiPath organization is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uipath {
    /// The address without the organization: `https://cloud.uipath.com` for Automation Cloud, else the host's own. Only
    /// https, except on loopback and on hosts that the operator was started with `--allow-insecure-host` for.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$')")
        .message("must be an https URL without user, query or fragment, for example https://cloud.uipath.com"))]
    pub url: String,
    /// The organization's name as it stands in its URLs, or its GUID.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')")
        .message("must be the organization's name as in its URL (letters, digits, `-`, `_`, `.`) or its GUID"))]
    pub organization: String,
    /// AutomationCloud (default), AutomationSuite, or Standalone: decides the shape of the paths.
    #[serde(default)]
    pub deployment: Deployment,
}

/// Where an Ory Hydra is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hydra {
    /// The public address, which is its issuer identifier: `https://hydra.example.com`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$')")
        .message("must be an https URL without user, query or fragment, for example https://hydra.example.com"))]
    pub url: String,
    /// The address of the admin API, for example `http://hydra-admin.identity.svc:4445`. Whoever reaches it may do
    /// anything there, so it is usually inside the cluster; plain http needs the operator's flag `--allow-insecure-host`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$')")
        .message("must be a URL without user, query or fragment, for example https://hydra-admin.example.com"))]
    pub admin_url: String,
}

/// Where a realm of Keycloak is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keycloak {
    /// The address without the realm: `https://keycloak.example.com`, with the path it is served under, if any.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$')")
        .message("must be an https URL without user, query or fragment, for example https://keycloak.example.com"))]
    pub url: String,
    /// The realm's name. The operator's own client and all applications are in it.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^/?#%\\s]+$')")
        .message("must be the realm's name as it stands in its URLs"))]
    pub realm: String,
}

/// Where a server with dynamic client registration is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// The issuer identifier: the server's metadata (RFC 8414, OpenID Connect Discovery) is looked for below it, and must
    /// say exactly this.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$')")
        .message("must be an https URL without user, query or fragment, for example https://login.example.com"))]
    pub issuer: String,
}

/// How UiPath is deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Deployment {
    /// UiPath's own cloud: also the public-sector and dedicated ones.
    #[default]
    AutomationCloud,
    /// Automation Suite on a team's own machines.
    AutomationSuite,
    /// A standalone (MSI) Orchestrator with its Identity Server.
    Standalone,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretReference {
    /// The Secret's name. For uipath it must hold the keys `client-id` and `client-secret` of an external application with
    /// the application scope PM.OAuthApp.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of a ConfigMap of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConfigMapKeyReference {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that holds the certificates. Default: `ca.crt`.
    #[serde(default = "ca_crt")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn ca_crt() -> String {
    "ca.crt".into()
}

/// Which namespaces may use a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)")
    .message("selector must be set with `from: Selector`, and only with it"))]
pub struct AllowedNamespaces {
    /// Same (default): the namespace of the server. All: every namespace. Selector: those that the selector matches.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// The labels of the namespaces, with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    #[default]
    Same,
    All,
    Selector,
}

/// Limits on what namespaces may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many applications one namespace may register here. The oldest ones win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub applications_per_namespace: Option<i32>,
}

/// What the operator found out about a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationServerStatus {
    /// The generation of the spec that this status speaks of; -1 before the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The issuer identifier (RFC 8414).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub issuer: Option<String>,
    /// Where tokens are requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub token_endpoint: Option<String>,
    /// Where people sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub authorization_endpoint: Option<String>,
    /// Where the keys are that tokens are verified with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub jwks_uri: Option<String>,
    /// The organization's identifier at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub organization_id: Option<String>,
    /// How many ExternalApplication objects name this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<i32>,
    /// How many of them differ from their registration and are not corrected: under management Observe, or while a scope
    /// cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted: Option<i32>,
    /// Registrations whose objects are gone but which the server has not deleted yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["clientId".into()]))]
    pub pending_deletions: Vec<PendingDeletion>,
    /// When the sweep was made that last changed something in this status. A sweep that finds nothing new writes
    /// nothing; the metric `extapp_server_last_sweep_timestamp_seconds` tells the time of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sweep_time: Option<Time>,
    /// The operator's own credential, as the server lists it: absent where the operator has no registration of its own, or
    /// may not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<OperatorCredential>,
    /// Ready summarises. Reconciling, Stalled and CredentialsExpiring are there only while they are true.
    /// CredentialsRotated tells what became of the last request (annotation `extapp.dev/rotate`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What is known of the secret that the operator itself authenticates with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorCredential {
    /// The server's name for the secret; absent where it lists several and nothing tells which one the Secret holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub id: Option<String>,
    /// Since when the server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When the server stops accepting it; absent: never, or the server does not tell. Where it is not known which secret it
    /// is, the earliest expiry of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How many secrets it may be, where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<i32>,
    /// When the operator replaced it last, on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Time>,
    /// The one before it, until it is removed at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousCredential>,
    /// The value of the annotation `extapp.dev/rotate` that the condition CredentialsRotated answers. Of a long one, a
    /// digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub request: Option<String>,
}

/// The secret that the operator used before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousCredential {
    /// The server's name for it; absent where that is not known: then it stays at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub id: Option<String>,
    /// When it is removed.
    pub remove_at: Time,
}

/// A registration that still has to be deleted at the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingDeletion {
    /// The registration's client id.
    #[schemars(length(max = 256))]
    pub client_id: String,
    /// Its name at the server.
    #[schemars(length(max = 256))]
    pub display_name: String,
    /// Delete, or Revoke: then only its secrets go.
    #[serde(default)]
    pub policy: DeletionPolicy,
    /// Since when it waits.
    pub since: Time,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub last_error: Option<String>,
}
