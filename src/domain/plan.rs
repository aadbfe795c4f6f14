//! What has to change, in an order in which a crash between any two steps is harmless.

use jiff::Timestamp;

use super::capabilities::Secrets;
use super::credentials;
use super::difference;
use super::intent::{Intent, digest};
use super::observed::{LeftOver, Observed, OutputRef, RegistrationSeen, has_finalizer, unsettled_intent};
use super::outputs::{self, Key, ResolvedOutput, SeenOutput, render};
use super::registration::{ClientId, ClientSecret, Registered, SecretId};
use super::renewal;
use super::validate::{Valid, desired};
use crate::api::ExternalApplication;
use crate::api::external_application::{CredentialState, CredentialStatus, FieldDifference, OutputKind};

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the finalizer, so that the registration cannot be forgotten. Nothing else is needed before it.
    Guard,
    /// Write the finalizer and what is about to be created, on the version that was read.
    RecordIntent(Intent),
    /// Create the registration. Never repeated: if the answer is lost, the intent decides.
    Register,
    /// Take this registration, which a lost create of ours made.
    TakeOver(ClientId),
    /// Replace name, redirect URIs and scopes.
    Update { id: ClientId, differences: Vec<FieldDifference> },
    /// Have the server generate a secret.
    AddSecret(ClientId),
    /// Send the registration as it is, so that the server gives its secret more time, or another one.
    Renew(ClientId),
    /// Write one object, over the one that is there.
    Publish { output: ResolvedOutput, over: Option<Standing> },
    /// Remove an object of ours that is not asked for.
    RemoveOutput(OutputRef),
    /// Remove a secret at the server.
    RetireSecret { id: ClientId, secret: SecretId },
}

/// An object of ours, at the version that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// Of a Secret: its type, which cannot be changed.
    pub secret_type: Option<String>,
}

impl Standing {
    fn of(object: &SeenOutput) -> Self {
        Self {
            name: object.name.clone(),
            uid: object.uid.clone(),
            resource_version: object.resource_version.clone(),
            secret_type: object.secret_type.clone(),
        }
    }
}

/// What the pass will do, and what it already knows.
#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The registration that the pass begins with.
    pub client_id: Option<ClientId>,
    /// The secret that is published, or that only has to be written.
    pub secret: Option<(SecretId, ClientSecret)>,
    /// Secrets of ours that no status names: named now, and removed later.
    pub strays: Vec<SecretId>,
    /// Differences that are reported and not corrected.
    pub drift: Vec<FieldDifference>,
}

/// The facts that a pass starts with, beside what was seen: who we are and what time it is.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// The identity of this operator process.
    pub identity: &'a str,
    pub now: Timestamp,
}

/// Decides what to do. The same facts give the same plan, and a plan that was carried out is followed by an empty one.
pub fn plan(app: &ExternalApplication, valid: &Valid, seen: &Observed, at: Circumstances<'_>) -> Plan {
    let drift = uncorrected(app, valid, seen);
    let Some((id, actual)) = known_registration(valid, seen) else {
        let steps = match &seen.registration {
            RegistrationSeen::None { namesakes } => register(valid, seen, namesakes.clone(), None, at),
            RegistrationSeen::Missing { id, namesakes } => register(valid, seen, namesakes.clone(), Some(id), at),
            RegistrationSeen::Unsettled { intent, search, .. } => {
                let known = [intent.known.as_slice(), &search.namesakes].concat();
                register(valid, seen, known, intent.replaces.as_ref(), at)
            }
            _ => Vec::new(),
        };
        return Plan { steps, client_id: None, secret: None, strays: Vec::new(), drift };
    };
    let secret = valid.confidential().then(|| usable_secret(app, valid, &id, actual, seen, at.now)).flatten();
    let current = secret.as_ref().map(|(id, _)| id);
    let strays = actual.map(|actual| strays(app, valid, current, actual)).unwrap_or_default();
    let mut steps = Vec::new();
    if valid.taken_over.is_some() {
        steps.push(Step::TakeOver(id.clone()));
    }
    steps.extend(converge(app, valid, &id, actual, secret.as_ref(), seen, at));
    Plan { steps, client_id: Some(id), secret, strays, drift }
}

/// The registration that the application stands for, with what the server says of it where that was read.
fn known_registration<'a>(valid: &Valid, seen: &'a Observed) -> Option<(ClientId, Option<&'a Registered>)> {
    match &seen.registration {
        RegistrationSeen::Unread(id) => Some((id.clone(), None)),
        RegistrationSeen::Present(actual) => Some((actual.client_id.clone(), Some(actual))),
        RegistrationSeen::Unsettled { search, .. } => {
            let id = valid.taken_over.clone()?;
            let actual = search.candidates.iter().find(|candidate| candidate.client_id == id);
            Some((id, actual))
        }
        _ => None,
    }
}

fn register(
    valid: &Valid,
    seen: &Observed,
    mut known: Vec<ClientId>,
    replaces: Option<&ClientId>,
    at: Circumstances<'_>,
) -> Vec<Step> {
    // An object that already names a registration must not look as if the coming create had led to that one.
    known.extend(seen.outputs.iter().filter_map(SeenOutput::client_id));
    known.sort();
    known.dedup();
    let intent = Intent {
        name: valid.desired.display_name.clone(),
        digest: digest(&valid.desired),
        known,
        replaces: replaces.cloned(),
        holder: at.identity.into(),
        at: at.now,
        // Written by whoever has the operator's credentials: when the intent is.
        seal: String::new(),
    };
    let mut steps = vec![Step::RecordIntent(intent), Step::Register];
    steps.extend(valid.outputs.iter().map(|output| {
        let standing = |object: &&SeenOutput| object.kind == output.kind && object.name == output.name;
        Step::Publish { output: output.clone(), over: seen.outputs.iter().find(standing).map(Standing::of) }
    }));
    let gone = |item: &&LeftOver| !item.immutable || item.credential.is_some();
    steps.extend(seen.left_over.iter().filter(gone).map(|item| Step::RemoveOutput(item.output.clone())));
    // What is about to be published speaks of another registration: none of these is the current one.
    steps.extend(all_but_the_latest(valid, seen, |_| None));
    steps
}

/// Everything after there is a registration. Publishing comes after all that a published secret rests on, and removing
/// secrets comes last.
fn converge(
    app: &ExternalApplication,
    valid: &Valid,
    id: &ClientId,
    actual: Option<&Registered>,
    secret: Option<&(SecretId, ClientSecret)>,
    seen: &Observed,
    at: Circumstances<'_>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if !has_finalizer(app) && !valid.observe_only {
        steps.push(Step::Guard);
    }
    // One that a lost create made is known by what was asked for then. It is changed only after an object names it: a
    // crash in between would leave nothing that proves it to be ours.
    let (first, last) = if valid.taken_over.is_some() { (None, actual) } else { (actual, None) };
    steps.extend(first.and_then(|actual| update(valid, actual)));
    if steps.is_empty() && renewal::is_due(valid, actual, secret.map(|(id, _)| id), at.now) {
        steps.push(Step::Renew(id.clone()));
    }
    let mint = valid.confidential() && secret.is_none() && !valid.observe_only;
    if mint {
        steps.push(Step::AddSecret(id.clone()));
    }
    let current = secret.map(|(id, _)| id);
    let secrets_seen = actual.filter(|_| !valid.observe_only);
    let recorded = credentials_of(app, id);
    let removable = secrets_seen.map(|_| credentials::removable(recorded, current, at.now)).unwrap_or_default();
    if secret.is_some() || mint || !valid.confidential() {
        steps.extend(publish(valid, id, secret, seen));
        steps.extend(left_over(recorded, seen, current, &removable, valid.observe_only || mint));
        steps.extend(superseded(valid, id, secret, seen));
    }
    steps.extend(last.and_then(|actual| update(valid, actual)));
    steps.extend(removable.into_iter().map(|secret| Step::RetireSecret { id: id.clone(), secret }));
    steps
}

fn update(valid: &Valid, actual: &Registered) -> Option<Step> {
    let differences = difference::between(&valid.desired, actual);
    let due = !valid.observe_only && valid.held_back.is_none() && !differences.is_empty();
    due.then(|| Step::Update { id: actual.client_id.clone(), differences })
}

/// The secret that is published, or that the server gave out and that only has to be written.
fn usable_secret(
    app: &ExternalApplication,
    valid: &Valid,
    id: &ClientId,
    actual: Option<&Registered>,
    seen: &Observed,
    now: Timestamp,
) -> Option<(SecretId, ClientSecret)> {
    let published = seen.outputs.iter().filter_map(|output| output.intact_secret(&valid.uid, id));
    let held = || {
        let held = seen.held.as_ref()?;
        Some((held.id.clone()?, ClientSecret::new(held.secret.expose())))
    };
    // Versions of an immutable object carry secrets of several ages. One that the status does not list yet is the newest.
    let age = |secret: &SecretId| {
        let rank = match credentials_of(app, id).iter().find(|credential| credential.id == secret.as_str()) {
            None => 2,
            Some(credential) if credential.state == CredentialState::Active => 1,
            Some(_) => 0,
        };
        let known = actual.and_then(|actual| actual.secrets.iter().find(|known| known.id == *secret));
        (rank, known.and_then(|known| known.created_at))
    };
    // Comes last: of two values for one secret the server's counts.
    let shown = actual.into_iter().flat_map(|actual| &actual.secrets).filter_map(|info| {
        let value = info.value.as_ref()?;
        Some((info.id.clone(), ClientSecret::new(value.expose())))
    });
    // What came with the registration is the one secret that it has, where it has one.
    let only = actual.and_then(|actual| match actual.secrets.as_slice() {
        [only] if seen.possessed => Some(&only.id),
        _ => None,
    });
    let given = seen.outputs.iter().filter_map(|output| Some((only?.clone(), output.given_secret(id)?)));
    published
        .chain(given)
        .chain(held())
        .chain(shown)
        .filter(|(secret, _)| !gone_at_server(app, id, secret, actual, now))
        .filter(|(secret, _)| !renewal::is_replaced(valid, actual, secret, now))
        .max_by_key(|(secret, _)| age(secret))
}

/// Whether the server no longer has the secret. One that was just made is given time to show.
fn gone_at_server(
    app: &ExternalApplication,
    id: &ClientId,
    secret: &SecretId,
    actual: Option<&Registered>,
    now: Timestamp,
) -> bool {
    let Some(actual) = actual else { return false };
    if actual.secrets.iter().any(|known| known.id == *secret) {
        return false;
    }
    let all = credentials_of(app, id);
    let recorded = all.iter().find(|credential| credential.id == secret.as_str());
    let lag = jiff::SignedDuration::try_from(super::intent::READ_LAG).unwrap_or_default();
    match recorded {
        Some(credential) => credential.created_at.as_ref().is_none_or(|created| now.duration_since(created.0) > lag),
        // Written before the first report, or brought back from a backup long after it was removed.
        None => !all.is_empty(),
    }
}

/// The secrets that the status lists for this registration. Those of one that it replaces went with that one.
fn credentials_of<'a>(app: &'a ExternalApplication, id: &ClientId) -> &'a [CredentialStatus] {
    let status = app.status.as_ref().filter(|status| status.client_id.as_deref() == Some(id.as_str()));
    status.map_or(&[], |status| &status.credentials)
}

fn strays(app: &ExternalApplication, valid: &Valid, current: Option<&SecretId>, actual: &Registered) -> Vec<SecretId> {
    // Where there is one secret, the one that is made takes the place of what was lost.
    if valid.observe_only || valid.server.capabilities.secrets != Secrets::Several {
        return Vec::new();
    }
    // What a lost create left behind was never published; what an adopted registration had belongs to others.
    let lost_create = unsettled_intent(app).filter(|_| app.spec.adopt.is_none()).map(|intent| intent.at);
    credentials::strays(credentials_of(app, &actual.client_id), current, actual, &valid.uid, lost_create)
}

fn publish(valid: &Valid, id: &ClientId, secret: Option<&(SecretId, ClientSecret)>, seen: &Observed) -> Vec<Step> {
    let facts = valid.facts(id);
    let key = secret.map(|(id, secret)| Key { id, secret });
    valid
        .outputs
        .iter()
        .filter_map(|output| {
            let standing =
                |name: &str| seen.outputs.iter().find(|object| object.kind == output.kind && object.name == name);
            // A Secret whose key is still to be made cannot be rendered yet: a template may need the key, and the name
            // of an immutable object depends on it.
            if key.is_none() && valid.confidential() && output.kind == OutputKind::Secret {
                let over = standing(&output.name).filter(|_| !output.immutable).map(Standing::of);
                return Some(Step::Publish { output: output.clone(), over });
            }
            let rendered = render(output, &facts, key).ok()?;
            let standing = standing(&rendered.name);
            if standing.is_some_and(|object| object.ours && object.says(&rendered)) {
                return None;
            }
            Some(Step::Publish { output: output.clone(), over: standing.map(Standing::of) })
        })
        .collect()
}

/// Objects that the spec does not ask for. An immutable one stays as long as the credential in it lives.
fn left_over(
    recorded: &[CredentialStatus],
    seen: &Observed,
    current: Option<&SecretId>,
    removable: &[SecretId],
    keep_versions: bool,
) -> Vec<Step> {
    let lives = |id: &str| {
        current.is_some_and(|current| current.as_str() == id)
            || (recorded.iter().any(|credential| credential.id == id)
                && !removable.iter().any(|secret| secret.as_str() == id))
    };
    let goes = |item: &&LeftOver| {
        !item.immutable || (!keep_versions && item.credential.as_deref().is_some_and(|id| !lives(id)))
    };
    seen.left_over.iter().filter(goes).map(|item| Step::RemoveOutput(item.output.clone())).collect()
}

/// Versions of an immutable object that carry no credential: nothing tells when the last one who uses them is gone. The
/// one before the current stays, for what is being replaced while the current one comes into use.
fn superseded(valid: &Valid, id: &ClientId, secret: Option<&(SecretId, ClientSecret)>, seen: &Observed) -> Vec<Step> {
    let (facts, key) = (valid.facts(id), secret.map(|(id, secret)| Key { id, secret }));
    let current = |output: &ResolvedOutput| render(output, &facts, key).ok().map(|current| current.name);
    all_but_the_latest(valid, seen, current)
}

/// The versions of immutable ConfigMaps that are neither current nor the latest of the others.
fn all_but_the_latest(
    valid: &Valid,
    seen: &Observed,
    current: impl Fn(&ResolvedOutput) -> Option<String>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for output in valid.outputs.iter().filter(|output| output.immutable && output.kind == OutputKind::ConfigMap) {
        let current = current(output);
        let mut old: Vec<&LeftOver> = seen
            .left_over
            .iter()
            .filter(|item| item.immutable && item.credential.is_none() && item.output.kind == output.kind)
            .filter(|item| outputs::is_version_of(&output.name, &item.output.name))
            .filter(|item| current.as_ref() != Some(&item.output.name))
            .collect();
        old.sort_by_key(|item| std::cmp::Reverse((item.created_at, &item.output.name)));
        steps.extend(old.into_iter().skip(1).map(|item| Step::RemoveOutput(item.output.clone())));
    }
    steps
}

fn uncorrected(app: &ExternalApplication, valid: &Valid, seen: &Observed) -> Vec<FieldDifference> {
    match &seen.registration {
        _ if !valid.observe_only && valid.held_back.is_none() => Vec::new(),
        RegistrationSeen::Present(actual) if valid.observe_only => difference::observed(&desired(app), actual),
        RegistrationSeen::Present(actual) => difference::between(&desired(app), actual),
        RegistrationSeen::Unread(_) => app.status.as_ref().map(|status| status.drift.clone()).unwrap_or_default(),
        _ => difference::absent(),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
