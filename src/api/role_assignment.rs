//! `RoleAssignment`: what an application may do in one tenant of Orchestrator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::external_application::{Management, ServerReference};

/// The roles of a confidential application: in one tenant of UiPath and its folders, or in a realm of Keycloak. It is a kind of its own, so that Kubernetes
/// RBAC can give it to other people than those who register applications.
///
/// The listed roles are the whole truth for the tenant, for each folder listed, and for folders listed before: what is
/// assigned there and not listed is taken away. Folders that were never listed, and what a folder inherits from those
/// above it, are not touched. Roles take effect for tokens that were requested with the scope `OR.Default`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "extapp.dev",
    version = "v1alpha1",
    kind = "RoleAssignment",
    plural = "roleassignments",
    shortname = "roleassign",
    category = "oauth",
    namespaced,
    status = "RoleAssignmentStatus",
    derive = "PartialEq",
    doc = "The roles of a confidential application in one tenant and its folders.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Application", type_ = "string", json_path = ".spec.applicationRef.name"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenant"),
    printcolumn(name = "Principal", type_ = "string", json_path = ".status.principalId", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.roles) && size(self.roles) > 0) || (has(self.folders) && size(self.folders) > 0)")
    .message("list at least one role of the tenant in `roles`, or one folder in `folders`; to take everything away, delete this object"))]
#[x_kube(validation = Rule::new("has(self.tenant) == has(oldSelf.tenant)")
    .message("tenant is immutable: delete this object, and make another for the other tenant"))]
pub struct RoleAssignmentSpec {
    /// The application, an ExternalApplication of this namespace: Confidential, with application scopes. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("applicationRef is immutable: delete this object, and make another for the other application"))]
    pub application_ref: ApplicationReference,
    /// The tenant, by name: at UiPath, where it must be said; a realm of Keycloak has no tenants. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("tenant is immutable: delete this object, and make another for the other tenant"))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^/\\\\?#%\\x00-\\x1f\\x7f]+$') && !self.matches('^\\s|\\s$') && self != '.' && self != '..'")
        .message("tenant must be the tenant's name: no slash, `?`, `#` or `%`, and no white space at its ends"))]
    #[x_kube(validation = Rule::new("!self.matches('^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$')")
        .message("tenant must be the tenant's name, not its GUID: two assignments could not tell that they mean the same one"))]
    pub tenant: Option<String>,
    /// Roles in the tenant, by name. In a realm of Keycloak: realm roles by name, and roles of a client as
    /// `client-id/role`; then these are all that the application's service account is given directly, beside the default
    /// roles of the realm. Roles that administer the realm are refused. An assignment without any leaves the tenant's roles to another assignment of the
    /// same application that lists some; where there is none, none are assigned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<String>,
    /// Folders, and the roles in each. A role holds in the folders below as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub folders: Vec<FolderRoles>,
    /// Enforce (default): the roles are made and kept as listed. Observe: differences are shown in the conditions and in
    /// `status.folders`, and nothing is written, not even when this object is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// Leave everything as it is until this is false again. A deletion is still carried out.
    #[serde(default)]
    pub suspend: bool,
}

/// An ExternalApplication of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ApplicationReference {
    /// The ExternalApplication's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A folder and the roles in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FolderRoles {
    /// The folder's fully qualified name: the names from the top folder down, with slashes between them, for example
    /// `Shared/Finance`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(r"!self.startsWith('/') && !self.endsWith('/') && self.matches('^[^\\x00-\\x1f\\x7f]+$')")
        .message("path must be the names from the top folder down, such as Shared/Finance, without a slash at its ends"))]
    pub path: String,
    /// Roles in this folder, by name.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<String>,
}

/// What the operator found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentStatus {
    /// The generation of the spec that this status speaks of; -1 before the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The application's identity in the organization's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub principal_id: Option<String>,
    /// The client id that the directory has under this identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub client_id: Option<String>,
    /// The operator's own proof that it wrote principalId: what has none is not acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub seal: Option<String>,
    /// The AuthorizationServer of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<ServerReference>,
    /// The application's roles in the tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
    /// The folders listed, and those listed before in which something is still assigned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    // One writer, one list: what somebody else put into it must not stay in pieces.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub folders: Vec<FolderStatus>,
    /// Ready: everything is as listed. Permitted: the roles are assigned. Drifted: something differs. Reconciling: work
    /// is under way. Stalled: only a person can help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One folder as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FolderStatus {
    /// The folder's fully qualified name, as the spec says it.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// The folder's identifier in the tenant; absent while the folder is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The application's roles in it, without inherited ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
    /// Assigned: as listed. Pending: being assigned. Refused: the reason says why. Differs: not as listed, and nothing is
    /// written. Leaving: no longer listed, and being taken away.
    pub state: FolderState,
    /// Why it is not as listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// How a folder stands to the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FolderState {
    Assigned,
    Pending,
    Refused,
    Differs,
    Leaving,
}
