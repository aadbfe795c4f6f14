//! How a secret is replaced where a server holds several: another one is added, kept, proven, published, and only then the
//! one before ends. Wherever this breaks off, what was published works, and what is there tells how to go on.

use super::replaced::unwritten;
use super::usable::gone_at_server;
use super::{Circumstances, Keeping, Standing, Step};
use crate::api::ExternalApplication;
use crate::api::external_application::{CredentialKind, CredentialState, CredentialStatus, OutputKind};
use crate::domain::capabilities::Secrets;
use crate::domain::intent::READ_LAG;
use crate::domain::observed::{Finding, Observed, Retry};
use crate::domain::outputs::{Key, ResolvedOutput, SeenOutput, render};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, Registered, SecretId};
use crate::domain::restarts;
use crate::domain::rotation::kept::{Kept, Seal, Secret, SeenKept, Unreadable};
use crate::domain::rotation::pacing::Turn;
use crate::domain::rotation::report::Progress;
use crate::domain::rotation::{self, Due, Trigger, recorded};
use crate::domain::validate::Valid;

/// What is done about the secret beyond keeping it.
#[derive(Default)]
pub(super) struct Rotation {
    /// After the published objects are as they shall be with the secret that is current.
    pub steps: Vec<Step>,
    /// How it stands before any of them.
    pub progress: Progress,
    /// The secret that is to be published, which must not be removed.
    pub pending: Option<SecretId>,
    /// Secrets that go at once, because they have leaked and another one is published.
    pub leaked: Vec<SecretId>,
    /// Whether what is published has leaked and is about to be replaced: to write it once more could only stand in the way.
    pub urgent: bool,
    /// Where there is room for one secret: it is replaced by the next that is made.
    pub replaces: Option<Due>,
}

impl Rotation {
    /// Whether no other secret is about to be published.
    pub fn is_at_rest(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Complete { .. }))
    }

    /// Whether what is kept is written.
    pub fn keeps_anew(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Keep(_)))
    }

    /// Workloads are restarted for the secret that is published, and not while another one is about to take its place.
    pub fn restart(&self, valid: &Valid, current: Option<&SecretId>, seen: &Observed) -> Option<Step> {
        let (due, targets) = seen.restarts.as_ref().filter(|_| self.is_at_rest() && !valid.observe_only)?;
        let published = current.is_some_and(|current| current.as_str() == due.credential);
        published.then(|| Step::Restart(restarts::decide(targets, due)))
    }
}

/// One application with a registration, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub app: &'a ExternalApplication,
    pub valid: &'a Valid,
    pub id: &'a ClientId,
    pub actual: Option<&'a Registered>,
    pub seen: &'a Observed,
    pub at: Circumstances<'a>,
}

/// Decides about one application. `current`: the secret that is published, and works as far as is known; without it there
/// is nothing to overlap with.
pub(super) fn rotate(case: Case<'_>, current: Option<&(SecretId, ClientSecret)>) -> Rotation {
    let Case { app, valid, id, actual, seen, at } = case;
    let due = rotation::of_application(app, at.now);
    if !valid.keeps_secret() {
        return due.filter(|_| !valid.observe_only).map(|due| without_any(case, due)).unwrap_or_default();
    }
    if let Some(finding) = due.as_ref().and_then(|due| impossible(due, valid)) {
        return Rotation { progress: refused(due, finding), ..Rotation::default() };
    }
    let Some(current) = current.filter(|_| !valid.observe_only) else {
        return Rotation::default();
    };
    match valid.server.capabilities.secrets {
        Secrets::Several => {}
        Secrets::Fixed => return Rotation::default(),
        Secrets::One => {
            // None is made while the one that was made for a rotation only has to be written.
            return in_one_step(due.filter(|_| unwritten(case, Some(&current.0)).is_none()), seen.turn);
        }
    }
    let kept = seen.kept.as_ref().map(|seen| &seen.kept).filter(|kept| kept.client_id == *id);
    let under_way = kept.filter(|kept| kept.under_way(Some(&current.0), recorded(app)).is_some());
    // Whatever is under way was in the same hands as what leaked.
    let urgent = |due: &Due| due.trigger == Trigger::Leaked;
    let removed = under_way.filter(|kept| is_removed(kept, actual, at.now));
    let due = due.or_else(|| removed.map(begun_by));
    let goes_on = under_way
        .filter(|kept| kept.trigger == Trigger::Leaked || !due.as_ref().is_some_and(urgent))
        .filter(|_| removed.is_none());
    if let Some(kept) = goes_on {
        return prove_and_publish(case, kept, Vec::new());
    }
    let unfinished = kept.filter(|kept| is_next(kept, &current.0) && !kept.is_recorded(recorded(app)));
    // What leaked does not wait until another rotation is done, of which something may stand in the way.
    let overtaken = |kept: &Kept| kept.trigger != Trigger::Leaked && due.as_ref().is_some_and(urgent);
    if let Some(kept) = unfinished.filter(|kept| !overtaken(kept)) {
        // Published, and not reported yet, or not all of it done. What asks for it is being fulfilled.
        return completed_by(case, kept, &current.0);
    }
    due.map(|due| begin(case, due, current, kept)).unwrap_or_default()
}

/// Begins a rotation, where nothing keeps it.
fn begin(case: Case<'_>, due: Due, current: &(SecretId, ClientSecret), kept: Option<&Kept>) -> Rotation {
    let Case { app, id, actual, seen, at, .. } = case;
    let before = Secret::new(current.0.clone(), &current.1);
    let (trigger, request) = (due.trigger, due.request.clone());
    let next = |next, previous| Kept { client_id: id.clone(), next, previous, trigger, request, since: at.now };
    let keep = |kept: &Kept| Keeping { kept: kept.clone(), over: written_over(seen) };
    if due.trigger == Trigger::RolledBack {
        let kept_before = kept.and_then(|kept| kept.previous.clone());
        let is_valid = |kept: &Secret| {
            rotation::previous(credentials(app), Some(&kept.id)).is_some()
                && !gone_at_server(app, id, &kept.id, actual, at.now)
        };
        let Some(back) = kept_before.filter(is_valid) else {
            return Rotation { progress: refused(Some(due), nothing_before()), ..Rotation::default() };
        };
        let kept = next(Some(back), Some(before));
        return prove_and_publish(case, &kept, vec![Step::Keep(keep(&kept))]);
    }
    if let Some(Turn::Wait(until)) = seen.turn {
        return waiting(due, until);
    }
    if let Some(Unreadable::InTheWay { because }) = &seen.unreadable {
        let finding = Finding::passing(Reason::SecretConflict, because.clone(), Retry::OnChange);
        return Rotation { progress: Progress::Blocked { due, finding }, ..Rotation::default() };
    }
    // What leaked is not kept, and what was replaced before makes room for the next.
    let leaked = due.trigger == Trigger::Leaked;
    let kept = next(None, (!leaked).then_some(before));
    let mut steps = if leaked { retire(id, replaced_before(app, &current.0)) } else { Vec::new() };
    steps.extend([Step::AddNext { id: id.clone(), keep: keep(&kept) }, Step::Keep(keep(&kept))]);
    prove_and_publish(case, &kept, steps)
}

/// What is kept under a seal that will not be recognised for long is written once more, as long as it is needed.
pub(super) fn sealed_anew(case: Case<'_>, rotation: &Rotation) -> Option<Step> {
    let Case { app, valid, id, seen, .. } = case;
    let SeenKept { kept, .. } = seen.kept.as_ref().filter(|seen| seen.seal == Seal::Former)?;
    let needed = kept.client_id == *id
        && valid.keeps_secret()
        && !valid.observe_only
        && kept.is_needed(credentials(app), recorded(app));
    (needed && !rotation.keeps_anew()).then(|| Step::Keep(Keeping { kept: kept.clone(), over: written_over(seen) }))
}

/// The version of the object that what is kept is written over.
fn written_over(seen: &Observed) -> Option<(String, String)> {
    let read = seen.kept.as_ref().map(|kept| (kept.uid.clone(), kept.resource_version.clone()));
    read.or_else(|| match &seen.unreadable {
        Some(Unreadable::Damaged { uid, resource_version }) => Some((uid.clone(), resource_version.clone())),
        _ => None,
    })
}

/// What leaked of an application that does without a secret is only removed.
fn without_any(case: Case<'_>, due: Due) -> Rotation {
    let mut steps = retire(case.id, every_secret(case));
    steps.push(Step::Complete { trigger: due.trigger, request: due.request });
    Rotation { steps, ..Rotation::default() }
}

/// Every secret of the registration that came from us: those that the status names, those that are kept, and those that
/// nothing names.
fn every_secret(case: Case<'_>) -> Vec<SecretId> {
    let Case { app, valid, id, actual, seen, .. } = case;
    let mut all: Vec<SecretId> = secrets(app).map(|credential| SecretId::new(&credential.id)).collect();
    let kept = seen.kept.as_ref().map(|seen| &seen.kept).filter(|kept| kept.client_id == *id);
    let kept = kept.into_iter().flat_map(|kept| [&kept.next, &kept.previous].into_iter().flatten());
    all.extend(kept.map(|secret| secret.id.clone()));
    all.extend(actual.map(|actual| super::strays(app, valid, None, actual)).unwrap_or_default());
    let mut known = std::collections::BTreeSet::new();
    all.retain(|secret| known.insert(secret.clone()));
    all
}

/// Those that were replaced and are valid still.
fn replaced_before(app: &ExternalApplication, current: &SecretId) -> Vec<SecretId> {
    let retiring = secrets(app).filter(|credential| credential.state == CredentialState::Retiring);
    retiring.map(|credential| SecretId::new(&credential.id)).filter(|secret| secret != current).collect()
}

fn secrets(app: &ExternalApplication) -> impl Iterator<Item = &CredentialStatus> {
    credentials(app).iter().filter(|credential| credential.kind == CredentialKind::Secret)
}

fn retire(id: &ClientId, secrets: Vec<SecretId>) -> Vec<Step> {
    secrets.into_iter().map(|secret| Step::RetireSecret { id: id.clone(), secret }).collect()
}

/// Where there is room for one secret, the next one that is made takes its place.
fn in_one_step(due: Option<Due>, turn: Option<Turn>) -> Rotation {
    match (due, turn) {
        (Some(due), Some(Turn::Wait(until))) => waiting(due, until),
        (replaces, _) => Rotation { replaces, ..Rotation::default() },
    }
}

fn credentials(app: &ExternalApplication) -> &[CredentialStatus] {
    app.status.as_ref().map_or(&[], |status| &status.credentials)
}

fn is_next(kept: &Kept, current: &SecretId) -> bool {
    kept.next.as_ref().is_some_and(|next| next.id == *current)
}

/// Whether the next secret is no longer at the server: somebody removed it, or it was taken back after its Secret had been
/// written. One that goes back to an earlier secret is judged by its proof alone.
fn is_removed(kept: &Kept, actual: Option<&Registered>, now: jiff::Timestamp) -> bool {
    let Some((actual, next)) = actual.zip(kept.next.as_ref()) else { return false };
    let shows = rotation::later(kept.since, READ_LAG);
    kept.trigger != Trigger::RolledBack && now > shows && actual.secrets.iter().all(|known| known.id != next.id)
}

fn begun_by(kept: &Kept) -> Due {
    Due { trigger: kept.trigger, since: kept.since, request: kept.request.clone() }
}

/// What is left of a rotation whose secret is published: what leaked goes, and the rest is to be said.
fn completed_by(case: Case<'_>, kept: &Kept, current: &SecretId) -> Rotation {
    let mut every = every_secret(case);
    every.retain(|secret| secret != current);
    let (trigger, request) = (kept.trigger, kept.request.clone());
    Rotation {
        steps: vec![Step::Complete { trigger, request: request.clone() }],
        progress: Progress::Publishing { id: current.clone(), trigger, request },
        leaked: if trigger == Trigger::Leaked { every } else { Vec::new() },
        ..Rotation::default()
    }
}

fn waiting(due: Due, until: jiff::Timestamp) -> Rotation {
    Rotation { progress: Progress::Waiting { due, until }, ..Rotation::default() }
}

fn refused(due: Option<Due>, finding: Finding) -> Progress {
    due.map_or(Progress::Rest, |due| Progress::Impossible { due, finding })
}

/// Proves what is kept, and writes it into every Secret.
fn prove_and_publish(case: Case<'_>, kept: &Kept, mut steps: Vec<Step>) -> Rotation {
    let Case { valid, seen, .. } = case;
    steps.push(Step::Prove { trigger: kept.trigger, request: kept.request.clone(), since: kept.since });
    for output in valid.outputs.iter().filter(|output| output.kind == OutputKind::Secret) {
        let name = name(output, kept, valid);
        let is_it = |object: &&SeenOutput| object.kind == output.kind && Some(&object.name) == name.as_ref();
        let standing = seen.outputs.iter().find(is_it);
        steps.push(Step::Replace { output: output.clone(), over: standing.map(Standing::of) });
    }
    let pending = kept.next.as_ref().map(|next| next.id.clone());
    if kept.trigger == Trigger::Leaked {
        let mut every = every_secret(case);
        every.retain(|secret| Some(secret) != pending.as_ref());
        steps.extend(retire(&kept.client_id, every));
    }
    steps.push(Step::Complete { trigger: kept.trigger, request: kept.request.clone() });
    Rotation { steps, pending, urgent: kept.trigger == Trigger::Leaked, ..Rotation::default() }
}

/// The name of the object that the next secret is written into. That of an immutable one follows from its content: it is
/// known where the secret is, and may be there already when an earlier secret comes back.
fn name(output: &ResolvedOutput, kept: &Kept, valid: &Valid) -> Option<String> {
    if !output.immutable {
        return Some(output.name.clone());
    }
    let next = kept.next.as_ref()?;
    let value = ClientSecret::new(next.value.expose());
    let key = Key { id: &next.id, secret: &value };
    render(output, &valid.facts(&kept.client_id), Some(key)).ok().map(|rendered| rendered.name)
}

/// Why a rotation that somebody asks for cannot be done here at all.
fn impossible(due: &Due, valid: &Valid) -> Option<Finding> {
    let refuse = |message: String| Some(Finding::stalled(Reason::NotSupported, message));
    let provider = valid.server.capabilities.provider;
    due.request.as_ref()?;
    if valid.observe_only {
        return refuse("management is Observe: no secret is replaced. Set management to Enforce, and ask again".into());
    }
    match (valid.server.capabilities.secrets, due.trigger) {
        (Secrets::Fixed, _) => refuse(format!(
            "a server of kind {provider} gives a registration the secret that it was made with and no other: make another ExternalApplication, and delete this one"
        )),
        (Secrets::One, Trigger::RolledBack) => refuse(format!(
            "a server of kind {provider} keeps one secret: the one before is no longer valid, so there is nothing to go back to"
        )),
        _ => None,
    }
}

fn nothing_before() -> Finding {
    let message = "there is no secret to go back to: none was replaced, the one before has been removed, or what was kept of it is gone or cannot be recognised any more. Ask for a new one with the annotation extapp.dev/rotate";
    Finding::stalled(Reason::RollbackImpossible, message)
}
