//! `ExternalApplication`: one application's registration, and where its credentials go.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::Deletion;
pub use super::credentials::{CredentialKind, CredentialState, CredentialStatus};
use super::rotation::{ClientSecretPolicy, FederatedCredential, Rotation, RotationStatus};
pub use super::settings::{AccessTokenStrategy, ApplicationSettings, TokenEndpointAuthMethod};

/// An OAuth external application: its registration at an authorization server, the scopes it asks for, and the Secret or
/// ConfigMap through which workloads get its credentials.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "extapp.dev",
    version = "v1alpha1",
    kind = "ExternalApplication",
    plural = "externalapplications",
    shortname = "extapp",
    category = "oauth",
    namespaced,
    status = "ExternalApplicationStatus",
    derive = "PartialEq",
    doc = "An OAuth external application, and where its credentials go.",
    validation = Rule::new("size(self.metadata.name) <= 200").message("metadata.name must have at most 200 characters: its Secret is named after it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Client-ID", type_ = "string", json_path = ".status.clientId"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverRef.name"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.binding.name", priority = 1),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.credentials[?(@.state==\"Active\")].expiresAt", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'Confidential' || !self.resources.exists(r, has(r.applicationScopes) && size(r.applicationScopes) > 0)")
    .message("a NonConfidential application must not have applicationScopes: it cannot keep a secret, so it only acts for a signed-in person. Use userScopes, or type Confidential"))]
#[x_kube(validation = Rule::new("!self.resources.exists(r, has(r.userScopes) && size(r.userScopes) > 0) || (has(self.redirectUris) && size(self.redirectUris) > 0)")
    .message("redirectUris must not be empty when there are userScopes: people are sent back there after they sign in"))]
#[x_kube(validation = Rule::new("self.type == 'NonConfidential' || (has(self.clientSecret) && self.clientSecret == 'None') || !has(self.outputs) || size(self.outputs) == 0 || self.outputs.exists(o, !has(o.kind) || o.kind == 'Secret')")
    .message("a Confidential application must have an output of kind Secret: its client secret is shown only once and would be lost"))]
#[x_kube(validation = Rule::new("self.type == 'Confidential' || (!has(self.rotation) && !has(self.clientSecret) && (!has(self.federatedCredentials) || size(self.federatedCredentials) == 0))")
    .message("a NonConfidential application has no credentials: remove rotation, clientSecret and federatedCredentials, or use type Confidential"))]
#[x_kube(validation = Rule::new("!has(self.clientSecret) || self.clientSecret != 'None' || !has(self.rotation)")
    .message("with `clientSecret: None` there is nothing to rotate: remove rotation"))]
#[x_kube(validation = Rule::new("!has(self.clientSecret) || self.clientSecret != 'None' || (has(self.federatedCredentials) && size(self.federatedCredentials) > 0) || (has(self.settings) && (has(self.settings.jwks) || has(self.settings.jwksUri)))")
    .message("`clientSecret: None` needs another way to authenticate: set federatedCredentials, or settings.jwksUri or settings.jwks with the keys that the application signs with"))]
#[x_kube(validation = Rule::new("(has(self.settings) && has(self.settings.tokenEndpointAuthMethod) && self.settings.tokenEndpointAuthMethod == 'private_key_jwt') == (has(self.settings) && (has(self.settings.jwks) || has(self.settings.jwksUri)))")
    .message("settings.tokenEndpointAuthMethod private_key_jwt goes with settings.jwksUri or settings.jwks, and only with it: they say which keys the application signs with"))]
#[x_kube(validation = Rule::new("!has(self.settings) || !has(self.settings.tokenEndpointAuthMethod) || self.settings.tokenEndpointAuthMethod != 'private_key_jwt' || (has(self.clientSecret) && self.clientSecret == 'None')")
    .message("settings.tokenEndpointAuthMethod private_key_jwt needs `clientSecret: None`: no server takes a secret beside the key"))]
#[x_kube(validation = Rule::new("!has(self.management) || self.management != 'Observe' || has(self.adopt) || oldSelf.hasValue()")
    .message("management Observe needs adopt.clientId: which registration is to be observed?").optional_old_self(true))]
pub struct ExternalApplicationSpec {
    /// The AuthorizationServer to register at. Immutable: to move, make another application.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("serverRef is immutable: a registration cannot move between servers. Make another ExternalApplication"))]
    pub server_ref: ServerReference,
    /// The application's name at the server, shown to people when they sign in. Default: `metadata.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\s\\x00-\\x1f]([^\\x00-\\x1f]*[^\\s\\x00-\\x1f])?$')")
        .message("displayName must not begin or end with white space, nor contain control characters"))]
    pub display_name: Option<String>,
    /// Confidential: runs where a secret can be kept; gets one. NonConfidential: a desktop, mobile or browser
    /// application; never gets one, so a person signs in and only userScopes are possible. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("type is immutable: a registration keeps its type. Make another ExternalApplication"))]
    pub r#type: ApplicationType,
    /// Where people may be sent back to after they sign in, compared character by character, trailing slash and port
    /// included. https, or http on loopback. Required with userScopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(u, u.matches('^https://[^/?#@\\s]+([/?][^\\s]*)?$') || u.matches('^http://(localhost|127[.]0[.]0[.]1|\\[::1\\])(:[0-9]{1,5})?([/?][^\\s]*)?$'))")
        .message("every redirect URI must be https://host/path, or http on localhost, 127.0.0.1 or [::1]"))]
    #[x_kube(validation = Rule::new("self.all(u, !u.contains('*') && !u.contains('#') && !u.contains(','))")
        .message("a redirect URI must not contain `*` (it is compared exactly: list each one), `#` or a comma"))]
    pub redirect_uris: Vec<String>,
    /// The APIs that the application uses, and the scopes it asks for in each.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub resources: Vec<RequestedResource>,
    /// What is set beyond that, where the server has a setting for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ApplicationSettings>,
    /// Where the registration's details and credentials are written. Default: one object `<metadata.name>-oauth` in the
    /// Standard format, a Secret for a Confidential application, a ConfigMap for a NonConfidential one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub outputs: Vec<Output>,
    /// Whether the application has a client secret. Generate (default): one is generated and written into its outputs.
    /// None: it authenticates with `federatedCredentials` or a key of its own (`settings.jwksUri`, `settings.jwks`), the
    /// secrets that it had are removed, and its outputs carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecretPolicy>,
    /// When the client secret is replaced. Absent: ahead of an expiry at the server, when it is lost, and when somebody
    /// asks by the annotation `extapp.dev/rotate` or `extapp.dev/revoke-now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Tokens of others that the application may authenticate with instead of a secret, for example those of its
    /// Kubernetes service account. The listed ones are the whole truth: others at the server are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub federated_credentials: Vec<FederatedCredential>,
    /// Take over an existing registration. Nothing is ever taken over without this. From then on it is treated as if this
    /// object had made it: it is changed to what the spec says, and deleted with the object unless `deletion.policy` is
    /// Retain or Revoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Enforce (default): the registration is made and kept as this spec says. Observe: differences are shown in
    /// `status.drift`, and nothing is written at the server; the secret of an adopted registration is not known then, so
    /// there is none in the outputs (condition CredentialsPublished) although the object is Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// What happens at the server when this object is deleted. Default: what the AuthorizationServer says, else Delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// Leave everything as it is until this is false again. A deletion is still carried out.
    #[serde(default)]
    pub suspend: bool,
}

/// An AuthorizationServer, perhaps of another namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
pub struct ServerReference {
    /// The AuthorizationServer's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace. Default: the namespace of this object. Another one must admit this one by `allowedNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Whether an application can keep a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ApplicationType {
    /// It can: a server-side application or a job. It gets a generated secret.
    Confidential,
    /// It cannot: a desktop, mobile or browser application. It never gets a secret.
    NonConfidential,
}

/// One API and the scopes asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.userScopes) && size(self.userScopes) > 0) || (has(self.applicationScopes) && size(self.applicationScopes) > 0)")
    .message("a resource must ask for at least one scope: set userScopes, applicationScopes or both"))]
pub struct RequestedResource {
    /// The API's name at the server, for example `UiPath.Orchestrator`. `kubectl get apires` shows what there is.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Scopes for a signed-in person: what the application may do for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(s, s.matches('^[^\\s*]+$'))")
        .message("every scope must be one name, such as OR.Jobs.Read: no `*`, no white space"))]
    pub user_scopes: Vec<String>,
    /// Scopes for the application itself, through client credentials. Confidential applications only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(s, s.matches('^[^\\s*]+$'))")
        .message("every scope must be one name, such as OR.Jobs.Read: no `*`, no white space"))]
    pub application_scopes: Vec<String>,
}

/// One object that carries the registration's details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.format) && self.format == 'Template') == (has(self.template) && size(self.template) > 0)")
    .message("template must be set with `format: Template`, and only with it"))]
pub struct Output {
    /// The object's name. With `immutable: true` a short hash is appended, and `status.binding` names the current one.
    #[schemars(length(min = 1, max = 244))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be a name that Kubernetes takes for a Secret: small letters, digits, `-` and `.`, such as invoice-sync-oauth"))]
    pub name: String,
    /// Secret or ConfigMap. A ConfigMap never carries the client secret. Default: Secret for a Confidential application,
    /// ConfigMap for a NonConfidential one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OutputKind>,
    /// Standard (default): type, provider, client-id, client-secret, issuer-uri, token-uri, authorization-uri,
    /// jwk-set-uri, scope, user-scope, redirect-uri. Env: the same as CLIENT_ID, CLIENT_SECRET and so on. Template: the
    /// keys of `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
    /// With `format: Template`: the keys to write, and for each a template such as `client={{ clientId }}`. Names:
    /// clientId, clientSecret (only in a Secret), issuer, tokenEndpoint, authorizationEndpoint, jwksUri, scope,
    /// userScope, redirectUri, redirectUris, displayName, name, namespace. An unknown name is an error. A Secret also
    /// carries client-id and client-secret, which the operator reads back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))")
        .message("a key of template must consist of letters, digits, `-`, `_` and `.`"))]
    pub template: BTreeMap<String, TemplateText>,
    /// Labels of the object. Nothing is copied from the application.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && !k.startsWith('extapp.dev/') && k != 'app.kubernetes.io/managed-by')")
        .message("the labels app.kubernetes.io/managed-by and extapp.dev/… are the operator's own"))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))")
        .message("a key of labels must be a Kubernetes label key, such as team or example.com/team"))]
    pub labels: BTreeMap<String, super::common::LabelValue>,
    /// Annotations of the object. Nothing is copied from the application.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && !k.startsWith('extapp.dev/'))")
        .message("annotations of extapp.dev/… are the operator's own"))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))")
        .message("a key of annotations must be a Kubernetes annotation key, such as team or example.com/team"))]
    pub annotations: BTreeMap<String, AnnotationText>,
    /// Make the object immutable and name it `<name>-<short hash>`; a change makes a new one. Pods that run keep what
    /// they were started with; an old Secret goes when its credential does, and of ConfigMaps the one before the current
    /// stays.
    #[serde(default)]
    pub immutable: bool,
}

/// The text of one key of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TemplateText(#[schemars(length(max = 8192))] pub String);

/// The value of one annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AnnotationText(#[schemars(length(max = 4096))] pub String);

/// The kind of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OutputKind {
    Secret,
    ConfigMap,
}

/// The keys of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OutputFormat {
    #[default]
    Standard,
    Env,
    Template,
}

/// An existing registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// The client id of the registration. A new secret is added for this object; those it has stay. Where
    /// a server keeps one secret and does not show it (Hydra), give its Secret along (annotation `extapp.dev/given-to`): else
    /// a new one takes its place at once.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._~-]+$')").message("must be a client id, as the server shows it"))]
    pub client_id: String,
}

/// Whether the registration is corrected or only watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Management {
    #[default]
    Enforce,
    Observe,
}

/// What is known of the registration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalApplicationStatus {
    /// The generation of the spec that this status speaks of; -1 before the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The registration's client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub client_id: Option<String>,
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
    /// The Secret (or ConfigMap) with the details: a Provisioned Service of servicebinding.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Every scope asked for, and what became of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16_384))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub scopes: Vec<ScopeStatus>,
    /// The registration's credentials, never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub credentials: Vec<CredentialStatus>,
    /// What is known of rotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationStatus>,
    /// When the next rotation is due: by `spec.rotation.interval`, in its window, or ahead of an expiry at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_time: Option<Time>,
    /// Where the registration differs from this spec and is not corrected: under management Observe, or while a scope that
    /// the spec asks for cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub drift: Vec<FieldDifference>,
    /// Ready summarises; Registered, CredentialsPublished, Drifted and, where there is something to say of it, Rotated
    /// explain. Reconciling and Stalled are there only while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A reference to the object that carries the details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Binding {
    /// Its name, in the namespace of the application.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// One scope that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
pub struct ScopeStatus {
    /// The scope.
    #[schemars(length(max = 128))]
    pub name: String,
    /// User or Application.
    pub r#type: super::api_resource::GrantKind,
    /// Granted: the registration has it. Unknown: the server's catalogue does not have it (any more). NotAllowed: the
    /// AuthorizationServer does not allow it. WrongType: it cannot be granted as this type. Pending: not asked for yet.
    pub state: ScopeState,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
}

/// What became of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ScopeState {
    Granted,
    Pending,
    Unknown,
    NotAllowed,
    WrongType,
}

/// One difference between the spec and the registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FieldDifference {
    /// The field of the spec: displayName, redirectUris, userScopes, applicationScopes, type, or one of settings; else
    /// scopes and grantTypes where the server keeps one set of scopes, owner, or registration.
    #[schemars(length(max = 64))]
    pub field: String,
    /// What the spec says.
    #[schemars(length(max = 1024))]
    pub desired: String,
    /// What the server has.
    #[schemars(length(max = 1024))]
    pub actual: String,
}
