//! Credentials that need no secret: whose tokens a registration trusts (RFC 7523 section 3), and what has to change.

use std::collections::BTreeSet;

use super::capabilities::Federation;
use super::observed::Finding;
use super::reason::Reason;
use crate::api::ExternalApplication;
use crate::api::external_application::ApplicationType;
use crate::api::rotation::{ClientSecretPolicy, FederatedCredential, ServiceAccountReference};

mod record;

pub use record::{Left, after, changes, difference, federates, lost, recorded};

/// Whose tokens authenticate an application. All three are compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trust {
    /// Unique in an application, and its name at the server.
    pub name: String,
    /// The `iss` of the tokens.
    pub issuer: String,
    /// The one `aud` of the tokens.
    pub audience: String,
    /// The `sub` of the tokens.
    pub subject: String,
}

/// A federated credential as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federated {
    /// The server's name for it.
    pub id: String,
    pub trust: Trust,
}

/// Who issues the tokens of the cluster's service accounts, as its discovery document says (OpenID Connect Discovery 1.0
/// section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIssuer {
    pub issuer: String,
    /// `id_token_signing_alg_values_supported`.
    pub algorithms: BTreeSet<String>,
}

/// What is known of the cluster's issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IssuerSeen {
    /// No application needs it.
    #[default]
    NotAsked,
    Known(ClusterIssuer),
    /// The look failed.
    Unreadable(Finding),
}

/// What is known of the federated credentials of one registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FederatedSeen {
    /// Nothing gave reason to look.
    #[default]
    Unread,
    Known(Vec<Federated>),
    /// The look failed.
    Unreadable(Finding),
}

/// One change at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Add(Trust),
    /// Set this one to that.
    Replace {
        credential: String,
        trust: Trust,
    },
    Remove {
        credential: String,
    },
}

/// What the spec asks for, with what the cluster tells of its service accounts filled in; or what stands in the way.
///
/// `provider` is the kind of the server, `federation` what it can do; `None`: nothing of this.
pub fn resolve(
    app: &ExternalApplication,
    provider: &str,
    federation: Option<Federation>,
    cluster: &IssuerSeen,
) -> Result<Vec<Trust>, Finding> {
    let listed = &app.spec.federated_credentials;
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let Some(federation) = federation else {
        let message = format!(
            "spec.federatedCredentials: a server of kind {provider} knows no federated credentials. Remove them, or use settings.jwksUri or settings.jwks where it has those"
        );
        return Err(Finding::stalled(Reason::NotSupported, message));
    };
    fits(app, provider, federation)?;
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    listed.iter().map(|credential| trust(credential, namespace, federation, cluster)).collect()
}

/// How many there may be, and whether a secret may be beside them.
fn fits(app: &ExternalApplication, provider: &str, federation: Federation) -> Result<(), Finding> {
    let listed = &app.spec.federated_credentials;
    if listed.len() > federation.most {
        let message = format!(
            "spec.federatedCredentials: {} are listed, and a server of kind {provider} takes at most {}: remove some, or divide them between several applications",
            listed.len(),
            federation.most
        );
        return Err(Finding::stalled(Reason::NotSupported, message));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = listed.iter().find(|credential| !names.insert(&credential.name)) {
        let message = format!("spec.federatedCredentials: {} is listed twice", twice.name);
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    let settings = app.spec.settings.as_ref();
    let method = settings.and_then(|settings| settings.token_endpoint_auth_method);
    if !federation.beside_secret && method.is_some() {
        let message = format!(
            "spec.settings.tokenEndpointAuthMethod: at a server of kind {provider} a registration with federated credentials authenticates in no other way. Remove it, or federatedCredentials"
        );
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    if app.spec.r#type == ApplicationType::NonConfidential {
        let message = "spec.federatedCredentials: a NonConfidential application authenticates with nothing. Remove them, or make it Confidential";
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    let secretless = app.spec.client_secret == Some(ClientSecretPolicy::None);
    if !federation.beside_secret && !secretless {
        let message = format!(
            "spec.federatedCredentials: at a server of kind {provider} a registration has either a secret or federated credentials. Set `clientSecret: None`, or remove them"
        );
        return Err(Finding::stalled(Reason::NotSupported, message));
    }
    Ok(())
}

fn trust(
    credential: &FederatedCredential,
    namespace: &str,
    federation: Federation,
    cluster: &IssuerSeen,
) -> Result<Trust, Finding> {
    let (issuer, subject) = match (&credential.service_account_ref, &credential.issuer, &credential.subject) {
        (Some(account), None, None) => of_the_cluster(account, namespace, federation, cluster)?,
        (None, Some(_), Some(subject)) if is_default(subject) => return Err(default_account()),
        (None, Some(issuer), Some(subject)) => (issuer.clone(), subject.clone()),
        _ => {
            let message = field(&credential.name, "set either serviceAccountRef, or both issuer and subject");
            return Err(Finding::stalled(Reason::InvalidSpec, message));
        }
    };
    if !issuer.starts_with("https://") {
        let what =
            format!("the issuer {issuer} is not an https URL, so that nothing proves whose keys are found there");
        return Err(Finding::stalled(Reason::InvalidSpec, field(&credential.name, &what)));
    }
    let (name, audience) = (credential.name.clone(), credential.audience.clone());
    if let Some(wild) = [&issuer, &audience, &subject].into_iter().find(|value| is_pattern(value)) {
        let what = format!("{wild} is compared exactly: it must not contain `*` or white space, nor be empty");
        return Err(Finding::stalled(Reason::InvalidSpec, field(&name, &what)));
    }
    Ok(Trust { name, issuer, audience, subject })
}

/// Issuer and subject of a service account's projected tokens.
fn of_the_cluster(
    account: &ServiceAccountReference,
    namespace: &str,
    federation: Federation,
    cluster: &IssuerSeen,
) -> Result<(String, String), Finding> {
    // Every pod of the namespace that names no other runs as this one: the rule at admission may be missing where an
    // older definition is installed.
    if account.name == "default" {
        return Err(default_account());
    }
    let cluster = match cluster {
        IssuerSeen::Known(cluster) => cluster,
        IssuerSeen::Unreadable(finding) => return Err(finding.clone()),
        IssuerSeen::NotAsked => {
            let message = "the issuer of the cluster's service accounts is not known yet";
            return Err(Finding::passing(Reason::Progressing, message, super::observed::Retry::Backoff));
        }
    };
    let takes = |algorithm: &String| federation.algorithms.contains(&algorithm.as_str());
    if !federation.algorithms.is_empty() && !cluster.algorithms.iter().any(takes) {
        let has: Vec<&str> = cluster.algorithms.iter().map(String::as_str).collect();
        let message = format!(
            "spec.federatedCredentials: the server takes tokens that are signed with {}, and this cluster signs those of its service accounts with {}: give the API server an RSA key by --service-account-signing-key-file, or use tokens of another issuer",
            federation.algorithms.join(" or "),
            has.join(", ")
        );
        return Err(Finding::stalled(Reason::NotSupported, message).looked_at_again());
    }
    if !cluster.issuer.starts_with("https://") {
        let message = format!(
            "spec.federatedCredentials: the issuer of this cluster's service accounts, {}, is not an https URL, so that no server can trust it: set --service-account-issuer of the API server to an address where its discovery document is found",
            cluster.issuer
        );
        return Err(Finding::stalled(Reason::NotSupported, message).looked_at_again());
    }
    Ok((cluster.issuer.clone(), format!("system:serviceaccount:{namespace}:{}", account.name)))
}

/// Whether a subject is the service account of every pod that names no other, of whichever cluster.
fn is_default(subject: &str) -> bool {
    let account = subject.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    account.is_some_and(|(_, name)| name == "default")
}

fn default_account() -> Finding {
    let message = "spec.federatedCredentials: the service account `default` is that of every pod that names no other: make one for this application, and set spec.serviceAccountName in its pods";
    Finding::stalled(Reason::InvalidSpec, message)
}

fn field(name: &str, what: &str) -> String {
    format!("spec.federatedCredentials[{name}]: {what}")
}

fn is_pattern(value: &str) -> bool {
    value.is_empty() || value.contains(|c: char| c == '*' || c.is_whitespace())
}

/// Whether an application needs to know the cluster's issuer.
pub fn needs_issuer(app: &ExternalApplication) -> bool {
    app.spec.federated_credentials.iter().any(|credential| credential.service_account_ref.is_some())
}

/// What has to change so that the registration trusts exactly these. What is new comes before what goes, so that whoever
/// has both is never without; only where there is no room for both does one take the place of the other at once.
///
/// `may_remove` says which of those that the spec does not list may go.
pub fn steps(
    wanted: &[Trust],
    known: &[Federated],
    most: usize,
    may_remove: impl Fn(&Federated) -> bool,
) -> Vec<Change> {
    let mut taken = BTreeSet::new();
    let (mut replace, mut missing) = (Vec::new(), Vec::new());
    for trust in wanted {
        let mut namesakes = known.iter().filter(|federated| federated.trust.name == trust.name).peekable();
        let first = namesakes.peek().copied();
        match namesakes.find(|federated| federated.trust == *trust).or(first) {
            None => missing.push(trust.clone()),
            Some(federated) => {
                taken.insert(federated.id.as_str());
                if federated.trust != *trust {
                    replace.push(Change::Replace { credential: federated.id.clone(), trust: trust.clone() });
                }
            }
        }
    }
    let mut surplus: Vec<&Federated> =
        known.iter().filter(|federated| !taken.contains(federated.id.as_str()) && may_remove(federated)).collect();
    let room = most.saturating_sub(known.len());
    while missing.len() > room
        && let Some(federated) = surplus.pop()
        && let Some(trust) = missing.pop()
    {
        replace.push(Change::Replace { credential: federated.id.clone(), trust });
    }
    let add = missing.into_iter().map(Change::Add);
    let remove = surplus.into_iter().map(|federated| Change::Remove { credential: federated.id.clone() });
    replace.into_iter().chain(add).chain(remove).collect()
}

#[cfg(test)]
mod tests;
