//! Builders for tests: a test says only what matters to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::capabilities::{Capabilities, CatalogueSource, Federation, PermissionScope, Secrets};
use super::consumers::Features;
use super::federation::{FederatedSeen, IssuerSeen};
use super::intent::{Intent, Search, digest};
use super::observed::{FINALIZER, Held, LeftOver, Observed, OutputRef, RegistrationSeen, ServerFacts, ServerSeen};
use super::outputs::{CREDENTIAL, Key, Rendered, SeenOutput, render};
use super::registration::{
    Catalogue, CatalogueScope, ClientId, ClientSecret, ClientType, Desired, Endpoints, Grant, Mark, Owner, Registered,
    Resource, Scope, SecretId, SecretInfo, Settings,
};
use super::validate::{Valid, validate};
use crate::api::{AuthorizationServer, ExternalApplication, PENDING};

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
        settings: Settings::new(),
        owner: Owner { uid: "app-uid".into(), namespace: "identity".into(), name: "invoice-sync".into() },
        secretless: false,
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
        grant_types: None,
        settings: Settings::new(),
        owner: Mark::Unsupported,
    }
}

pub fn secret_info(id: &str, description: Option<&str>) -> SecretInfo {
    SecretInfo {
        id: SecretId::new(id),
        description: description.map(Into::into),
        created_at: None,
        expires_at: None,
        value: None,
    }
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

/// The server, connected.
pub fn facts() -> ServerFacts {
    ServerFacts {
        capabilities: Capabilities {
            provider: "uipath",
            marks: false,
            lists: true,
            guessable_ids: false,
            scopes_per_grant: true,
            changes_type: false,
            secrets: Secrets::Several,
            settings: &[],
            catalogue: CatalogueSource::Own,
            permissions: PermissionScope::TenantsAndFolders,
            federation: Some(Federation { most: 20, beside_secret: true, algorithms: &["RS256"] }),
        },
        endpoints: Arc::new(endpoints()),
        catalogue: Arc::new(catalogue()),
        own_client_id: Some(ClientId::new("operator")),
        organization_id: Some("organization".into()),
    }
}

/// What a pass sees of an application for which nothing has been done yet.
pub fn observed() -> Observed {
    Observed {
        server: Some(Arc::new(server())),
        admitted: true,
        seen: ServerSeen::Usable(facts()),
        outputs: Vec::new(),
        left_over: Vec::new(),
        held: None,
        registration: RegistrationSeen::None { namesakes: Vec::new() },
        older_siblings: 0,
        claimant: None,
        operators_own: false,
        unproven: false,
        possessed: false,
        issuer: IssuerSeen::NotAsked,
        federated: FederatedSeen::Unread,
        kept: None,
        unreadable: None,
        turn: None,
        holders: None,
        restarts: None,
        features: Features { watch_consumers: true, restart_workloads: true },
    }
}

/// One word after the other, as a test needs them.
#[allow(clippy::return_self_not_must_use, reason = "a test that drops it does nothing")]
impl Observed {
    pub fn registration(mut self, registration: RegistrationSeen) -> Self {
        self.registration = registration;
        self
    }

    pub fn present(self, actual: Registered) -> Self {
        self.registration(RegistrationSeen::Present(Box::new(actual)))
    }

    pub fn unread(self, id: &str) -> Self {
        self.registration(RegistrationSeen::Unread(ClientId::new(id)))
    }

    pub fn missing(self, id: &str) -> Self {
        self.registration(RegistrationSeen::Missing { id: ClientId::new(id), namesakes: Vec::new() })
    }

    pub fn unsettled(self, intent: &Intent, candidates: &[Registered]) -> Self {
        let search = Search { candidates: candidates.to_vec(), empty_since: Some(intent.at), ..Search::default() };
        self.registration(RegistrationSeen::Unsettled { intent: intent.clone(), hold: None, search })
    }

    pub fn output(mut self, object: SeenOutput) -> Self {
        self.outputs.push(object);
        self
    }

    /// An object of ours that the spec does not name, which is also read.
    pub fn left_over(mut self, object: SeenOutput, immutable: bool) -> Self {
        self.left_over.push(LeftOver {
            output: OutputRef { kind: object.kind, name: object.name.clone(), uid: object.uid.clone() },
            credential: object.annotations.get(CREDENTIAL).cloned(),
            created_at: None,
            immutable,
        });
        self.output(object)
    }

    /// A secret that the server gave out and that no object carries yet.
    pub fn holding(mut self, id: &str) -> Self {
        self.held = Some(Held { id: SecretId::new(id), secret: Arc::new(ClientSecret::new("held")), rotation: None });
        self
    }
}

/// The application after a create of unknown outcome.
pub fn with_intent(mut app: ExternalApplication, intent: &Intent) -> ExternalApplication {
    let text = serde_json::to_string(intent).expect("an intent");
    app.metadata.annotations.get_or_insert_default().insert(PENDING.into(), text);
    guarded(app)
}

pub fn intent() -> Intent {
    Intent {
        name: "Invoice sync".into(),
        digest: digest(&desired()),
        known: vec![ClientId::new("id-7")],
        replaces: None,
        holder: "me".into(),
        seal: String::new(),
        at: NOON - SignedDuration::from_secs(60),
    }
}

pub fn guarded(mut app: ExternalApplication) -> ExternalApplication {
    app.metadata.finalizers = Some(vec![FINALIZER.into()]);
    app
}

/// The application after its spec was brought about, with this registration and this secret.
pub fn settled(app: ExternalApplication, client_id: &str, secret: &str) -> ExternalApplication {
    let mut app = guarded(app);
    app.status = parse(serde_json::json!({
        "observedGeneration": 1, "clientId": client_id,
        "credentials": [{"id": secret, "kind": "Secret", "state": "Active", "createdAt": "2026-01-01T00:00:00Z"}],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        }]
    }));
    app
}

/// The only output of the application, as it was published for this registration with this secret.
pub fn published(app: &ExternalApplication, client_id: &str, secret: &str) -> SeenOutput {
    let valid = valid(app, &observed().unread(client_id));
    let (client_id, id, value) = (ClientId::new(client_id), SecretId::new(secret), ClientSecret::new("s3cr&t"));
    let key = valid.confidential().then_some(Key { id: &id, secret: &value });
    seen_output(render(&valid.outputs[0], &valid.facts(&client_id), key).expect("rendered"))
}

/// An object of ours that says this.
pub fn seen_output(rendered: Rendered) -> SeenOutput {
    SeenOutput {
        kind: rendered.kind,
        uid: format!("uid-of-{}", rendered.name),
        name: rendered.name,
        resource_version: "7".into(),
        ours: true,
        given: false,
        secret_type: None,
        content: rendered.content,
        labels: rendered.labels,
        annotations: rendered.annotations,
    }
}

/// An application whose spec passes every check.
pub fn valid(app: &ExternalApplication, seen: &Observed) -> Valid {
    validate(app, seen, NOON).expect("a spec that may be acted on")
}
