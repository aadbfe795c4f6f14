//! What has to change, in an order in which a crash between any two steps is harmless.

use jiff::Timestamp;

use super::capabilities::Secrets;
use super::credentials;
use super::difference;
use super::federation;
use super::intent::{Intent, digest};
use super::observed::{Finding, LeftOver, Observed, OutputRef, RegistrationSeen, has_finalizer, unsettled_intent};
use super::outputs::{Key, ResolvedOutput, SeenOutput, render};
use super::registration::{ClientId, ClientSecret, Registered, SecretId};
use super::renewal;
use super::restarts::Decision;
use super::rotation::kept::{Kept, Unreadable};
use super::rotation::report::Progress;
use super::rotation::{Due, Trigger, unusable};
use super::validate::Valid;
use crate::api::ExternalApplication;
use crate::api::external_application::{CredentialStatus, FieldDifference, OutputKind};
use crate::api::rotation::Retire;

mod federate;
mod left_over;
mod replaced;
mod rotate;
mod uncorrected;
mod usable;

use left_over::{all_but_the_latest, left_over, superseded};
use rotate::Case;
use uncorrected::uncorrected;
use usable::usable_secret;

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
    /// Have the server generate a secret, which is published at once: there is none that works, or room for one alone.
    AddSecret(ClientId),
    /// Have the server generate a secret beside the one that is published, if what comes next can be kept.
    AddNext { id: ClientId, keep: Keeping },
    /// Keep what a rotation needs to go on after a crash, and to be undone. Where there is no next secret in it, the one that
    /// was just made is.
    Keep(Keeping),
    /// Ask the token endpoint whether it accepts the next secret. If not, nothing of the rotation after this step is done.
    Prove { trigger: Trigger, request: Option<String>, since: Timestamp },
    /// All that a rotation takes is done.
    Complete { trigger: Trigger, request: Option<String> },
    /// Write the next secret into one object.
    Replace { output: ResolvedOutput, over: Option<Standing> },
    /// Send the registration as it is, so that the server gives its secret more time, or another one.
    Renew(ClientId),
    /// Write one object, over the one that is there.
    Publish { output: ResolvedOutput, over: Option<Standing> },
    /// Remove an object of ours that is not asked for.
    RemoveOutput(OutputRef),
    /// Remove a secret at the server.
    RetireSecret { id: ClientId, secret: SecretId },
    /// See to the workloads that are to be restarted for the published secret.
    Restart(Decision),
    /// Add, replace or remove a federated credential.
    Federate(federation::Change),
    /// What comes after this rests on something that is not known.
    Await(Finding),
}

/// What is to be kept for a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    pub kept: Kept,
    /// The identity and the version of the object that it is written over.
    pub over: Option<(String, String)>,
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
    /// One that was just written.
    pub fn written(
        name: &str,
        uid: Option<String>,
        resource_version: Option<String>,
        secret_type: Option<String>,
    ) -> Self {
        let (uid, resource_version) = (uid.unwrap_or_default(), resource_version.unwrap_or_default());
        Self { name: name.to_owned(), uid, resource_version, secret_type }
    }

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
#[derive(Debug, Default)]
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
    /// How a rotation stands before any step.
    pub progress: Progress,
    /// Why a secret is made that takes the place of the one that was published, if one was.
    pub replaces: Option<Due>,
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
        return Plan { steps, drift, ..Plan::default() };
    };
    let keeps = valid.keeps_secret();
    let mut secret = keeps.then(|| usable_secret(app, valid, &id, actual, seen, at.now)).flatten();
    let case = Case { app, valid, id: &id, actual, seen, at };
    let mut rotation = rotate::rotate(case, secret.as_ref());
    let strays = actual
        .map(|actual| strays(app, valid, secret.as_ref().map(|(id, _)| id), actual))
        .unwrap_or_default()
        .into_iter()
        .filter(|stray| !is_kept(seen, stray))
        .collect();
    let unusable = || unusable::due(credentials_of(app, &id), actual, at.now).filter(|_| keeps && !valid.observe_only);
    let replaces = if secret.is_none() { unusable() } else { rotation.replaces.clone() };
    if replaces.is_some() {
        secret = None;
    }
    let mut steps = Vec::new();
    if valid.taken_over.is_some() {
        steps.push(Step::TakeOver(id.clone()));
    }
    let current = secret.as_ref().map(|(id, _)| id);
    let progress = replaced::standing(case, current, &rotation, unusable);
    rotation.steps.extend(replaced::completion(&rotation, &progress, replaces.as_ref()));
    steps.extend(rotate::sealed_anew(case, &rotation));
    let damaged = damaged(app, &rotation, seen).filter(|_| !valid.observe_only);
    let restart = rotation.restart(valid, current, seen);
    steps.extend(converge(app, valid, &id, actual, secret.as_ref(), seen, at, rotation));
    steps.extend(restart);
    steps.extend(damaged);
    Plan { steps, client_id: Some(id), secret, strays, drift, progress, replaces }
}

/// What somebody has changed of what was kept goes, unless it is written anew.
fn damaged(app: &ExternalApplication, rotation: &rotate::Rotation, seen: &Observed) -> Option<Step> {
    let Some(Unreadable::Damaged { uid, .. }) = &seen.unreadable else { return None };
    let name = Kept::object_name(app.metadata.name.as_deref()?, app.metadata.uid.as_deref()?);
    let object = OutputRef { kind: OutputKind::Secret, name, uid: uid.clone() };
    (!rotation.keeps_anew()).then_some(Step::RemoveOutput(object))
}

/// Whether the value of a secret is known although no object that workloads mount carries it.
fn is_kept(seen: &Observed, secret: &SecretId) -> bool {
    let kept = seen.kept.as_ref().map(|seen| &seen.kept);
    kept.is_some_and(|kept| [&kept.next, &kept.previous].into_iter().flatten().any(|known| known.id == *secret))
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
    steps.extend(federate::first(valid));
    steps
}

#[allow(clippy::too_many_arguments, reason = "what is decided before it, and nothing that could be left out")]
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
    rotation: rotate::Rotation,
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
    let mint = valid.keeps_secret() && secret.is_none() && !valid.observe_only;
    if mint {
        steps.push(Step::AddSecret(id.clone()));
    }
    let current = secret.map(|(id, _)| id);
    let secrets_seen = actual.filter(|_| !valid.observe_only);
    let recorded = credentials_of(app, id);
    let removable = match current {
        _ if !rotation.leaked.is_empty() => rotation.leaked.clone(),
        _ => {
            let rolled = valid.rotation.retire == Retire::WhenConsumersRolled && seen.holders == Some(0);
            let pending = rotation.pending.as_ref();
            let removable = || credentials::removable(recorded, current, pending, rolled, at.now);
            secrets_seen.map(|_| removable()).unwrap_or_default()
        }
    };
    // Who does without a secret must be able to authenticate before it goes; to who has one, it comes first.
    let federate = federate::federate(app, valid, id, seen, at.now);
    let (first_of_all, last_of_all) =
        if valid.keeps_secret() { (Vec::new(), federate) } else { (federate, Vec::new()) };
    steps.extend(first_of_all);
    // What is to be written otherwise, and what goes, waits for the next secret where that one is urgent.
    if !rotation.urgent && (secret.is_some() || mint || !valid.keeps_secret()) {
        steps.extend(publish(valid, id, secret, seen));
        steps.extend(left_over(recorded, seen, current, &removable, valid.observe_only || mint));
        steps.extend(superseded(valid, id, secret, seen));
    }
    steps.extend(last.and_then(|actual| update(valid, actual)));
    steps.extend(removable.into_iter().map(|secret| Step::RetireSecret { id: id.clone(), secret }));
    steps.extend(rotation.steps);
    steps.extend(last_of_all);
    steps
}

fn update(valid: &Valid, actual: &Registered) -> Option<Step> {
    let differences = difference::between(&valid.desired, actual);
    let due = !valid.observe_only && valid.held_back.is_none() && !differences.is_empty();
    due.then(|| Step::Update { id: actual.client_id.clone(), differences })
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
            if key.is_none() && valid.keeps_secret() && output.kind == OutputKind::Secret {
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

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
