//! What is written into Secrets and ConfigMaps, and how a written one is recognised again.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, UndefinedBehavior, context};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::registration::{ClientId, ClientSecret, ClientType, Desired, Endpoints, Grant, SecretId};
use crate::api::external_application::{ApplicationType, ExternalApplication, OutputFormat, OutputKind};

/// Marks every object that the operator writes, so that it can watch its own and no others.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "extapp");
/// The server's name for the secret inside.
pub const CREDENTIAL: &str = "extapp.dev/credential";
/// The registration that the object speaks of.
pub const CLIENT_ID: &str = "extapp.dev/client-id";
/// Tells whether the client secret inside is still the one that was written.
pub const CHECKSUM: &str = "extapp.dev/secret-checksum";
/// Tells whether the set of keys is still the one that is wanted.
pub const SHAPE: &str = "extapp.dev/shape";

/// Marks an immutable object, which stays as long as the credential in it lives.
pub const VERSIONED: &str = "extapp.dev/versioned";

/// One entry of `spec.outputs` with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedOutput {
    pub name: String,
    pub kind: OutputKind,
    pub format: OutputFormat,
    pub template: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub immutable: bool,
}

/// The objects that a spec asks for.
pub fn resolve(app: &ExternalApplication) -> Vec<ResolvedOutput> {
    let default_kind = match app.spec.r#type {
        ApplicationType::Confidential => OutputKind::Secret,
        ApplicationType::NonConfidential => OutputKind::ConfigMap,
    };
    if app.spec.outputs.is_empty() {
        return vec![ResolvedOutput {
            name: format!("{}-oauth", app.metadata.name.as_deref().unwrap_or_default()),
            kind: default_kind,
            format: OutputFormat::Standard,
            template: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            immutable: false,
        }];
    }
    let one = |output: &crate::api::external_application::Output| ResolvedOutput {
        name: output.name.clone(),
        kind: output.kind.unwrap_or(default_kind),
        format: output.format.unwrap_or_default(),
        template: output.template.iter().map(|(key, text)| (key.clone(), text.0.clone())).collect(),
        labels: output.labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect(),
        annotations: output.annotations.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect(),
        immutable: output.immutable,
    };
    app.spec.outputs.iter().map(one).collect()
}

/// What an object says. A ConfigMap has no place for a secret.
pub enum Content {
    Secret(BTreeMap<String, SecretString>),
    ConfigMap(BTreeMap<String, String>),
}

/// An object as it shall be.
pub struct Rendered {
    pub kind: OutputKind,
    pub name: String,
    pub content: Content,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub immutable: bool,
}

/// What templates and formats draw from; nothing else can be looked up.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub uid: &'a str,
    pub provider: &'static str,
    pub client_id: &'a ClientId,
    pub desired: &'a Desired,
    /// In the order of the spec: the first is the one that a client uses by default.
    pub redirect_uris: &'a [String],
    pub endpoints: &'a Endpoints,
}

/// A secret and the server's name for it.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub id: &'a SecretId,
    pub secret: &'a ClientSecret,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output {output}, key {key}: {what}")]
pub struct TemplateError {
    pub output: String,
    pub key: String,
    /// What is wrong, without any value.
    pub what: String,
}

/// Writes one object in memory. The client secret goes into Secrets alone.
pub fn render(output: &ResolvedOutput, facts: &Facts<'_>, key: Option<Key<'_>>) -> Result<Rendered, TemplateError> {
    let key = key.filter(|_| output.kind == OutputKind::Secret);
    let data = match output.format {
        OutputFormat::Standard => standard(facts, key),
        OutputFormat::Env => {
            standard(facts, key).into_iter().map(|(k, v)| (k.to_uppercase().replace('-', "_"), v)).collect()
        }
        OutputFormat::Template => templated(output, facts, key)?,
    };
    let mut annotations = output.annotations.clone();
    annotations.insert(CLIENT_ID.into(), facts.client_id.to_string());
    annotations.insert(SHAPE.into(), shape(output, &data));
    if let Some(key) = key {
        annotations.insert(CREDENTIAL.into(), key.id.to_string());
        annotations.insert(CHECKSUM.into(), checksum(facts.uid, key.id, key.secret));
    }
    if output.immutable {
        annotations.insert(VERSIONED.into(), "true".into());
    }
    let mut labels = output.labels.clone();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    let name =
        if output.immutable { versioned_name(output, facts, key.map(|key| key.id))? } else { output.name.clone() };
    let content = match output.kind {
        OutputKind::Secret => Content::Secret(data.into_iter().map(|(k, v)| (k, SecretString::from(v))).collect()),
        OutputKind::ConfigMap => Content::ConfigMap(data),
    };
    Ok(Rendered { kind: output.kind, name, content, labels, annotations, immutable: output.immutable })
}

fn standard(facts: &Facts<'_>, key: Option<Key<'_>>) -> BTreeMap<String, String> {
    let pairs = [
        ("type", Some("oauth2".to_owned())),
        ("provider", Some(facts.provider.to_owned())),
        ("client-id", Some(facts.client_id.to_string())),
        ("client-secret", key.map(|key| key.secret.expose().to_owned())),
        ("issuer-uri", Some(facts.endpoints.issuer.clone())),
        ("token-uri", Some(facts.endpoints.token_endpoint.clone())),
        ("authorization-uri", facts.endpoints.authorization_endpoint.clone()),
        ("jwk-set-uri", facts.endpoints.jwks_uri.clone()),
        ("scope", scopes(facts.desired, Grant::Application)),
        ("user-scope", scopes(facts.desired, Grant::User)),
        ("redirect-uri", facts.redirect_uris.first().cloned()),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn scopes(desired: &Desired, grant: Grant) -> Option<String> {
    let names: Vec<&str> =
        desired.scopes.iter().filter(|scope| scope.grant == grant).map(|scope| scope.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn templated(
    output: &ResolvedOutput,
    facts: &Facts<'_>,
    key: Option<Key<'_>>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(20_000));
    // It would print everything else that is known, in no promised form.
    environment.remove_global("debug");
    // What an error says in detail may quote a value. Only the trial may tell.
    let trial = key.is_none_or(|key| key.secret.expose() == PLACEHOLDER);
    let words = words(output.kind, facts, key);
    let mut data = BTreeMap::new();
    for (name, text) in &output.template {
        let rendered = environment.render_str(text, &words).map_err(|error| TemplateError {
            output: output.name.clone(),
            key: name.clone(),
            what: error
                .detail()
                .filter(|_| trial)
                .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind())),
        })?;
        data.insert(name.clone(), rendered);
    }
    if let Some(key) = key {
        for (name, value) in [("client-id", facts.client_id.as_str()), ("client-secret", key.secret.expose())] {
            let present = data.entry(name.into()).or_insert_with(|| value.to_owned());
            if present != value {
                let what = "is read back by the operator and must be exactly the value of that name".into();
                return Err(TemplateError { output: output.name.clone(), key: name.into(), what });
            }
        }
    }
    Ok(data)
}

fn words(kind: OutputKind, facts: &Facts<'_>, key: Option<Key<'_>>) -> minijinja::Value {
    let common = context! {
        clientId => facts.client_id.as_str(),
        issuer => facts.endpoints.issuer.as_str(),
        tokenEndpoint => facts.endpoints.token_endpoint.as_str(),
        authorizationEndpoint => facts.endpoints.authorization_endpoint.clone().unwrap_or_default(),
        jwksUri => facts.endpoints.jwks_uri.clone().unwrap_or_default(),
        scope => scopes(facts.desired, Grant::Application).unwrap_or_default(),
        userScope => scopes(facts.desired, Grant::User).unwrap_or_default(),
        redirectUri => facts.redirect_uris.first().cloned().unwrap_or_default(),
        redirectUris => facts.redirect_uris.to_vec(),
        displayName => facts.desired.display_name.as_str(),
        name => facts.name,
        namespace => facts.namespace,
    };
    match (kind, key) {
        (OutputKind::Secret, Some(key)) => context! { clientSecret => key.secret.expose(), ..common },
        _ => common,
    }
}

/// Whether every template of the spec can be rendered, before there is anything to put in.
pub fn check_templates(outputs: &[ResolvedOutput], facts: &Facts<'_>) -> Result<(), TemplateError> {
    let (id, secret) = (SecretId::new("0"), ClientSecret::new(PLACEHOLDER));
    let keeps_secret = facts.desired.client_type == ClientType::Confidential && !facts.desired.secretless;
    let key = keeps_secret.then_some(Key { id: &id, secret: &secret });
    outputs.iter().try_for_each(|output| render(output, facts, key).map(|_| ()))
}

/// A digest of everything about an object but its values: a key that is no longer wanted changes it.
fn shape(output: &ResolvedOutput, data: &BTreeMap<String, String>) -> String {
    let keys: BTreeSet<&str> = data.keys().map(String::as_str).collect();
    let said = serde_json::json!([keys, output.labels, output.annotations]).to_string();
    super::hex(&Sha256::digest(said)[..8])
}

/// Stands for the secret while templates are only tried.
const PLACEHOLDER: &str = "placeholder";

/// The name of an immutable object: a new one for every change of what it says. The secret takes part by its identifier.
fn versioned_name(
    output: &ResolvedOutput,
    facts: &Facts<'_>,
    credential: Option<&SecretId>,
) -> Result<String, TemplateError> {
    let stand_in = ClientSecret::new("secret");
    let none = SecretId::new("");
    let key = credential.map(|_| Key { id: &none, secret: &stand_in });
    let data = match output.format {
        OutputFormat::Template => templated(output, facts, key)?,
        _ => standard(facts, key),
    };
    let said = serde_json::json!([
        data,
        output.labels,
        output.annotations,
        credential,
        format!("{:?}", output.format),
        facts.uid
    ]);
    Ok(format!("{}-{}", output.name, &super::hex(&Sha256::digest(said.to_string())[..4])))
}

/// Whether a name is that of a version of this output.
pub fn is_version_of(output: &str, name: &str) -> bool {
    name.strip_prefix(output).and_then(|rest| rest.strip_prefix('-')).is_some_and(|hash| hash.len() == 8)
}

/// Salted with the application's UID and the secret's identifier, so that equal values do not show as equal.
pub fn checksum(uid: &str, id: &SecretId, secret: &ClientSecret) -> String {
    let mut hash = Sha256::new();
    for part in [uid, id.as_str(), secret.expose()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    super::hex(&hash.finalize()[..16])
}

/// An object as it is in the cluster.
pub struct SeenOutput {
    pub kind: OutputKind,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// Whether our application is its controlling owner.
    pub ours: bool,
    /// Whether it is nobody's, and whoever looks after it gives it to our application.
    pub given: bool,
    /// Of a Secret: its type, which cannot be changed.
    pub secret_type: Option<String>,
    pub content: Content,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl SeenOutput {
    fn value(&self, key: &str) -> Option<&str> {
        match &self.content {
            Content::Secret(data) => data.get(key).map(ExposeSecret::expose_secret),
            Content::ConfigMap(data) => data.get(key).map(String::as_str),
        }
    }

    /// The registration that the object speaks of.
    pub fn client_id(&self) -> Option<ClientId> {
        self.ours.then(|| self.annotations.get(CLIENT_ID).map(ClientId::new)).flatten()
    }

    /// The secret inside, where it is ours, of this registration, and still the one that was written.
    pub fn intact_secret(&self, uid: &str, client_id: &ClientId) -> Option<(SecretId, ClientSecret)> {
        if self.client_id().as_ref() != Some(client_id) {
            return None;
        }
        let id = SecretId::new(self.annotations.get(CREDENTIAL)?);
        let secret = ClientSecret::new(self.value("client-secret").or_else(|| self.value("CLIENT_SECRET"))?);
        (self.annotations.get(CHECKSUM)? == &checksum(uid, &id, &secret)).then_some((id, secret))
    }

    /// The secret in an object that is given to us, where that object speaks of this registration.
    pub fn given_secret(&self, client_id: &ClientId) -> Option<ClientSecret> {
        if self.ours || !self.given || self.kind != OutputKind::Secret {
            return None;
        }
        let first = |keys: [&str; 3]| keys.into_iter().find_map(|key| self.value(key));
        let speaks = first(["client-id", "CLIENT_ID", "client_id"]).map(ClientId::new).as_ref() == Some(client_id);
        let secret = first(["client-secret", "CLIENT_SECRET", "client_secret"]).filter(|secret| !secret.is_empty());
        secret.filter(|_| speaks).map(ClientSecret::new)
    }

    /// Whether the object says all that it shall say. What others added to it is not looked at.
    pub fn says(&self, wanted: &Rendered) -> bool {
        let values = match (&self.content, &wanted.content) {
            (Content::Secret(have), Content::Secret(want)) => want.iter().all(|(key, value)| {
                have.get(key).is_some_and(|actual| actual.expose_secret() == value.expose_secret())
            }),
            (Content::ConfigMap(have), Content::ConfigMap(want)) => {
                want.iter().all(|(key, value)| have.get(key) == Some(value))
            }
            _ => false,
        };
        let holds = |have: &BTreeMap<String, String>, want: &BTreeMap<String, String>| {
            want.iter().all(|(key, value)| have.get(key) == Some(value))
        };
        values && holds(&self.labels, &wanted.labels) && holds(&self.annotations, &wanted.annotations)
    }
}

#[cfg(test)]
mod tests;
