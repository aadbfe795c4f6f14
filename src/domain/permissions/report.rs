//! What is said of a `RoleAssignment`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::observed::{Finding, Retry};
use super::super::reason::Reason;
use super::super::status::{Wanted, conditions, progress as flow};
use super::super::tenant::FolderId;
use super::assess::{Assessment, FolderPlan};
use super::judge::Refusal;
use super::{holds, observes, place};
use crate::api::RoleAssignment;
use crate::api::role_assignment::{FolderState, FolderStatus, RoleAssignmentStatus};

/// How many refusals a message names.
const NAMED: usize = 8;
/// How much of a path is kept where something is added to it, in characters.
const PATH: usize = 900;
/// The longest reason of one folder, in characters.
const REASON: usize = 1_000;

/// What a pass came to.
pub enum Outcome {
    /// Nothing was done.
    Refused(Finding),
    /// What is about to be done: written before it is.
    Begun(Box<Assessment>),
    /// All was done that could be, or nothing was to be done.
    Done(Box<Assessment>),
    /// The work broke off.
    Failed(Box<Assessment>, Finding),
    /// All that was assigned was taken away, because the application goes.
    Withdrawn(Finding),
}

/// What stands in the way, if anything does.
pub fn finding(outcome: &Outcome) -> Option<Finding> {
    match outcome {
        Outcome::Refused(finding) | Outcome::Failed(_, finding) | Outcome::Withdrawn(finding) => Some(finding.clone()),
        Outcome::Begun(_) => Some(Finding::passing(Reason::Progressing, "roles are being assigned", Retry::Backoff)),
        Outcome::Done(assessment) => refused(assessment),
    }
}

/// What a person has to change, in one sentence for each place.
fn refused(assessment: &Assessment) -> Option<Finding> {
    let refusals: Vec<&Refusal> = assessment.refusals().collect();
    let first = refusals.first()?;
    let said: Vec<&str> = refusals.iter().take(NAMED).map(|refusal| refusal.message.as_str()).collect();
    let more = refusals.len() - said.len();
    let tail = if more > 0 { format!("; and {more} more, see status.folders") } else { String::new() };
    Some(Finding::stalled(first.reason, format!("{}{tail}", said.join("; "))))
}

/// The status after a pass; `None` where it already says so.
#[cfg(test)]
pub fn status(object: &RoleAssignment, outcome: &Outcome, now: Timestamp) -> Option<RoleAssignmentStatus> {
    let next = next_status(object, outcome, now);
    (object.status.as_ref() != Some(&next)).then_some(next)
}

/// The status after a pass.
pub fn next_status(object: &RoleAssignment, outcome: &Outcome, now: Timestamp) -> RoleAssignmentStatus {
    let old = object.status.clone().unwrap_or_default();
    let mut next = RoleAssignmentStatus { observed_generation: object.metadata.generation, ..old.clone() };
    let found = finding(outcome);
    let wanted = match outcome {
        Outcome::Refused(finding) if finding.reason == Reason::Suspended => suspended(&old, finding),
        Outcome::Refused(finding) => refused_conditions(object, finding),
        Outcome::Withdrawn(finding) => {
            next = RoleAssignmentStatus { observed_generation: object.metadata.generation, ..Default::default() };
            withdrawn(finding)
        }
        Outcome::Begun(assessment) | Outcome::Done(assessment) | Outcome::Failed(assessment, _) => {
            let progress = match outcome {
                Outcome::Done(_) if observes(object) => Progress::Watched,
                Outcome::Done(_) => Progress::Ended,
                _ => Progress::Open,
            };
            describe(&mut next, &old, assessment, progress);
            assessed(object, assessment, found.as_ref(), progress)
        }
    };
    next.conditions = conditions(&old.conditions, &wanted, object.metadata.generation, now);
    next
}

/// How far the work has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Open,
    Ended,
    /// Nothing is written under management Observe.
    Watched,
}

fn describe(next: &mut RoleAssignmentStatus, old: &RoleAssignmentStatus, seen: &Assessment, progress: Progress) {
    let (actual, desired) = &seen.tenant_roles;
    let shown = if progress == Progress::Ended { desired.as_ref().unwrap_or(actual) } else { actual };
    next.roles = shown.iter().cloned().collect();
    next.principal_id = Some(seen.principal.to_string());
    next.client_id = Some(seen.admitted.client_id.to_string());
    next.server_ref = Some(seen.admitted.server.clone());
    // Whoever only watches records nothing, and forgets nothing that was recorded before.
    next.seal = if progress == Progress::Watched { old.seal.clone() } else { Some(seen.seal.clone()) };
    let unnumbered = progress == Progress::Watched && old.seal.is_some();
    next.folders = seen.folders.iter().map(|folder| listed(folder, progress, unnumbered)).collect();
    let left = seen.leaving.iter().filter(|_| progress != Progress::Ended).map(|(path, id)| leaving(path, *id));
    // What the record names stays there until it is known to be gone.
    let recorded = old.folders.iter().filter(|_| progress == Progress::Open && old.seal.is_some());
    let kept = recorded.filter_map(|folder| Some(leaving(&folder.path, FolderId(folder.id?))));
    for mut folder in left.chain(kept) {
        if next.folders.iter().any(|there| there.id == folder.id) {
            continue;
        }
        // The path belongs to another folder now.
        if next.folders.iter().any(|there| there.path == folder.path) {
            let number = folder.id.unwrap_or_default();
            folder.path = format!("{} (folder {number})", folder.path.chars().take(PATH).collect::<String>());
        }
        next.folders.push(folder);
    }
    next.folders.sort_by(|one, other| one.path.cmp(&other.path));
}

fn leaving(path: &str, id: FolderId) -> FolderStatus {
    FolderStatus {
        path: path.to_owned(),
        id: Some(id.0),
        roles: Vec::new(),
        state: FolderState::Leaving,
        reason: Some("no longer listed: what is assigned here is taken away".into()),
    }
}

/// `unnumbered`: a number would say that this assignment has assigned something here.
fn listed(folder: &FolderPlan, progress: Progress, unnumbered: bool) -> FolderStatus {
    let none = BTreeSet::new();
    let actual = folder.actual.as_ref().unwrap_or(&none);
    let desired = folder.desired.as_ref();
    let done = progress == Progress::Ended || (folder.actual.is_some() && folder.actual.as_ref() == desired);
    let refusal = (!folder.refusals.is_empty()).then(|| {
        let said: Vec<&str> = folder.refusals.iter().map(|refusal| refusal.message.as_str()).collect();
        said.join("; ").chars().take(REASON).collect::<String>()
    });
    let (state, reason) = match refusal {
        Some(reason) => (FolderState::Refused, Some(reason)),
        None if done => (FolderState::Assigned, None),
        None if progress == Progress::Watched => {
            let listed: Vec<&str> = desired.iter().flat_map(|roles| roles.iter()).map(String::as_str).collect();
            (FolderState::Differs, Some(format!("listed: {}", listed.join(", "))))
        }
        None => (FolderState::Pending, None),
    };
    let shown = if done { desired.unwrap_or(actual) } else { actual };
    let numbered = folder.recorded || (desired.is_some() && !unnumbered);
    FolderStatus {
        path: folder.path.clone(),
        id: folder.id.filter(|_| numbered).map(|id| id.0),
        roles: shown.iter().cloned().collect(),
        state,
        reason,
    }
}

fn assessed(
    object: &RoleAssignment,
    seen: &Assessment,
    found: Option<&Finding>,
    progress: Progress,
) -> Vec<Wanted<'static>> {
    let drift = progress == Progress::Watched && seen.differs();
    let drifted = match progress {
        Progress::Watched if drift => Some((true, Reason::DriftFound, differences(seen))),
        Progress::Watched | Progress::Ended if found.is_none() => {
            Some((false, Reason::InSync, "the roles are as listed".to_owned()))
        }
        _ => None,
    };
    let permitted = match found {
        Some(finding) => (false, finding.reason, finding.message.clone()),
        None if drift => (false, Reason::DriftFound, differences(seen)),
        None => (true, Reason::Permitted, assigned(object, seen)),
    };
    let ready = match found {
        None if observes(object) => {
            (true, Reason::Observed, "management is Observe: the roles are watched, nothing is written".to_owned())
        }
        None => (true, Reason::Ready, assigned(object, seen)),
        Some(finding) => (false, finding.reason, finding.message.clone()),
    };
    let mut wanted = vec![
        Wanted { kind: "Permitted", state: Some(permitted) },
        Wanted { kind: "Drifted", state: drifted },
        Wanted { kind: "Ready", state: Some(ready) },
    ];
    wanted.extend(flow(found));
    wanted
}

fn assigned(object: &RoleAssignment, seen: &Assessment) -> String {
    let place = place(object);
    if seen.admitted.role_based {
        return format!("the roles are assigned {place}");
    }
    format!(
        "the roles are assigned {place}, but role-based access needs OR.Default in the token: add OR.Default to the applicationScopes of the application"
    )
}

/// Every place where the roles are not as they shall be: its name, what is missing, and what is too much.
fn places(seen: &Assessment) -> Vec<(&str, Vec<&str>, Vec<&str>)> {
    fn place<'a>(
        name: &'a str,
        actual: &'a BTreeSet<String>,
        desired: &'a BTreeSet<String>,
    ) -> (&'a str, Vec<&'a str>, Vec<&'a str>) {
        let less = |one: &'a BTreeSet<String>, other: &BTreeSet<String>| -> Vec<&'a str> {
            one.iter().filter(|name| !other.contains(*name)).map(String::as_str).collect()
        };
        (name, less(desired, actual), less(actual, desired))
    }
    static NONE: BTreeSet<String> = BTreeSet::new();
    let (actual, desired) = &seen.tenant_roles;
    let tenant =
        desired.iter().filter(|desired| *desired != actual).map(|desired| place("the tenant", actual, desired));
    let folders = seen.folders.iter().filter_map(|folder| {
        let desired = folder.desired.as_ref().filter(|desired| Some(*desired) != folder.actual.as_ref())?;
        Some(place(&folder.path, folder.actual.as_ref().unwrap_or(&NONE), desired))
    });
    tenant.chain(folders).collect()
}

fn joined(mut said: Vec<String>) -> String {
    let more = said.len().saturating_sub(NAMED);
    said.truncate(NAMED);
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{tail}", said.join("; "))
}

fn phrases(place: &str, parts: [(&[&str], &str); 2], otherwise: &str) -> String {
    let named = parts.iter().filter(|(names, _)| !names.is_empty());
    let said: Vec<String> = named.map(|(names, what)| format!("{} {what}", names.join(", "))).collect();
    if said.is_empty() { format!("{place}: {otherwise}") } else { format!("{place}: {}", said.join(", ")) }
}

/// What is not as listed, for a person.
fn differences(seen: &Assessment) -> String {
    let each = places(seen).into_iter().map(|(place, missing, surplus)| {
        phrases(place, [(&missing, "missing"), (&surplus, "not listed")], "not assigned")
    });
    let left = seen.leaving.iter().map(|(path, _)| format!("{path}: no longer listed"));
    joined(each.chain(left).collect())
}

/// What was done about it, for an Event.
pub fn changes(seen: &Assessment) -> String {
    let each = places(seen).into_iter().map(|(place, missing, surplus)| {
        phrases(place, [(&missing, "assigned"), (&surplus, "taken away")], "assigned without roles")
    });
    let left = seen.leaving.iter().map(|(path, _)| format!("{path}: everything taken away"));
    joined(each.chain(left).collect())
}

fn refused_conditions(object: &RoleAssignment, finding: &Finding) -> Vec<Wanted<'static>> {
    let state = || Some((false, finding.reason, finding.message.clone()));
    let mut wanted = vec![Wanted { kind: "Ready", state: state() }];
    // What is assigned stays so while it cannot be looked at.
    if !holds(object) || finding.stalled {
        wanted.push(Wanted { kind: "Permitted", state: state() });
    }
    wanted.extend(flow(Some(finding)));
    wanted
}

fn withdrawn(finding: &Finding) -> Vec<Wanted<'static>> {
    let state = || Some((false, finding.reason, finding.message.clone()));
    let mut wanted = vec![
        Wanted { kind: "Ready", state: state() },
        Wanted { kind: "Permitted", state: state() },
        Wanted { kind: "Drifted", state: None },
    ];
    wanted.extend(flow(Some(finding)));
    wanted
}

/// A suspended assignment keeps what it had.
fn suspended(old: &RoleAssignmentStatus, finding: &Finding) -> Vec<Wanted<'static>> {
    let was_ready = old.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut wanted = vec![Wanted { kind: "Ready", state: Some((was_ready, finding.reason, finding.message.clone())) }];
    wanted.extend(flow(None));
    wanted
}
