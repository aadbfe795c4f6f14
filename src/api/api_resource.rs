//! `ApiResource`: one API of a server and the scopes that may be asked for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One API (resource) of an authorization server, and the scopes that applications may ask for. Where the server has a
/// catalogue of its own, such as UiPath, the operator keeps one such object for each resource beside the
/// AuthorizationServer: read them with `kubectl get apires`. Do not declare any there: they are not used, and say so
/// (CatalogueNotDeclarable). Where a server has no catalogue, the declared objects are the catalogue.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "extapp.dev",
    version = "v1alpha1",
    kind = "ApiResource",
    plural = "apiresources",
    shortname = "apires",
    category = "oauth",
    namespaced,
    status = "ApiResourceStatus",
    derive = "PartialEq",
    doc = "One API of an authorization server, and the scopes that applications may ask for.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Identifier", type_ = "string", json_path = ".spec.identifier"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverRef.name"),
    printcolumn(name = "Scopes", type_ = "integer", json_path = ".status.scopes"),
    printcolumn(name = "Applications", type_ = "integer", json_path = ".status.applications"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.management) || self.management != 'Enforce' || (has(self.scopes) && size(self.scopes) > 0)")
    .message("management Enforce needs scopes: say what the server shall offer"))]
pub struct ApiResourceSpec {
    /// The AuthorizationServer, in the namespace of this object. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("serverRef is immutable: delete this object and make another"))]
    pub server_ref: LocalServerReference,
    /// The API's name at the server, for example `UiPath.Orchestrator`: what applications write in `resources[].name`.
    /// Immutable.
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("identifier is immutable: delete this object and make another"))]
    pub identifier: String,
    /// The API's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// Observe (default): this object says what may be asked for, and nothing is written at the server. Enforce: the
    /// server is made to offer what this object says, where a server can be told so.
    #[serde(default)]
    pub management: CatalogueManagement,
    /// The scopes of the API.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub scopes: Vec<ApiScope>,
}

/// An AuthorizationServer of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct LocalServerReference {
    /// The AuthorizationServer's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Whether an object only says what an API offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CatalogueManagement {
    /// It does. Nothing is written at the server.
    #[default]
    Observe,
    /// The server is made to offer it.
    Enforce,
}

/// One scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiScope {
    /// The scope as applications ask for it, for example `OR.Jobs.Read`.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\s*]+$')")
        .message("a scope must be one name, such as OR.Jobs.Read: no `*`, no white space"))]
    pub name: String,
    /// The scope's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// For whom it may be granted. User: it may stand in userScopes. Application: it may stand in applicationScopes.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub grants: Vec<GrantKind>,
}

/// For whom a scope may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum GrantKind {
    /// For a signed-in person.
    User,
    /// For the application itself.
    Application,
}

/// How an API is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiResourceStatus {
    /// The generation of the spec that this status speaks of; -1 before the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many scopes the API has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<i32>,
    /// How many ExternalApplication objects ask for a scope of it, ready or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<i32>,
    /// Ready: the object shows what the server's catalogue says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
