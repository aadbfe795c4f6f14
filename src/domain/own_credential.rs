//! The operator's own credential at a server: which of the server's secrets it is, when it expires, and how it is replaced
//! when somebody asks. Pure.
//!
//! A replacement is written down before it begins, in an annotation of the Secret that `credentialsRef` names (a
//! [`Claim`]), and when the new value stands in that Secret (a [`Record`]). Both are sealed with the value that the Secret
//! holds at that time: one that does not fit the value any more tells nothing of it, and nothing is removed because of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::capabilities::Secrets;
use super::observed::Finding;
use super::reason::Reason;
use super::registration::{SecretId, SecretInfo};
use crate::api::AuthorizationServer;

pub mod report;

/// The key of the Secret that holds what the operator authenticates with.
pub const CURRENT: &str = "client-secret";
/// The key that holds the value before it, until that is removed at the server.
pub const PREVIOUS: &str = "previous-client-secret";

/// How long the value before stays valid where the spec does not say it.
const OVERLAP: Duration = Duration::from_hours(1);
/// How long the token endpoint may refuse a new secret before it is withdrawn.
pub const PROOF: Duration = Duration::from_mins(5);
/// How long a claim belongs to the process that wrote it: longer than any proof, so that its writer is no longer at work.
pub const HOLD: Duration = Duration::from_mins(6);
/// A secret is added within this time after the claim was written, or the claim is written anew.
const FRESH: Duration = Duration::from_secs(20);
/// How long a refused proof waits for the next, and a read that does not show what is there.
const PAUSE: Duration = Duration::from_secs(2);

/// How a secret that the operator made for itself is marked at the server.
pub fn marker(uid: &str) -> String {
    format!("extapp operator {uid}")
}

/// A request as it is kept: what a person wrote may be long.
pub fn kept(request: &str) -> String {
    const LONGEST: usize = 64;
    if request.chars().count() <= LONGEST {
        return request.to_owned();
    }
    format!("sha256:{}", super::hex(&Sha256::digest(request)[..16]))
}

/// How long the value before stays valid at this server.
pub fn overlap(server: &AuthorizationServer) -> Duration {
    server.spec.credentials_overlap.as_ref().and_then(crate::api::rotation::Overlap::parse).unwrap_or(OVERLAP)
}

/// A replacement under way. Serialised as JSON into the annotation `extapp.dev/rotating` of the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The value of `extapp.dev/rotate` that asked for it.
    pub request: String,
    /// Which operator process is at work.
    pub holder: String,
    pub at: Timestamp,
    /// The secrets that the server had before: none of them is the new one.
    pub known: Vec<SecretId>,
    /// The one of them that the Secret holds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SecretId>,
    /// Proof that it was written while the Secret held the value that it holds now.
    #[serde(default)]
    pub seal: String,
}

impl Claim {
    /// What the seal is made over.
    pub fn sealed_text(&self, uid: &str) -> String {
        serde_json::json!(["rotating", uid, self.request, self.holder, self.at, self.known, self.previous]).to_string()
    }
}

/// What was put into the Secret last. Serialised as JSON into the annotation `extapp.dev/rotated` of the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub request: String,
    /// The server's name for the value that the Secret holds.
    pub current: SecretId,
    /// The one before it, until it is removed. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SecretId>,
    /// Then it is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclear: Vec<SecretId>,
    pub at: Timestamp,
    /// When the one before is removed.
    pub retire_at: Timestamp,
    /// Proof that the Secret holds the value that was put there.
    #[serde(default)]
    pub seal: String,
}

impl Record {
    /// What the seal is made over: what it is believed for. The rest may change while it holds.
    pub fn sealed_text(&self, uid: &str) -> String {
        serde_json::json!(["rotated", uid, self.current, self.previous, self.at, self.retire_at]).to_string()
    }
}

/// A secret that the server gave out and that the Secret does not hold yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Absent where the server's answer did not name it.
    pub id: Option<SecretId>,
    pub since: Timestamp,
    /// When the token endpoint refused it last.
    pub tried: Option<Timestamp>,
    /// Whether the token endpoint accepts it.
    pub proven: bool,
}

/// All that the next step rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// `metadata.uid` of the AuthorizationServer.
    pub uid: &'a str,
    /// Which operator process this is.
    pub identity: &'a str,
    /// The value of `extapp.dev/rotate`, as [`kept`].
    pub request: Option<&'a str>,
    /// The request that the status has an answer to.
    pub answered: Option<&'a str>,
    /// Whether the operator authenticates with a registration of its own.
    pub registered: bool,
    pub secrets: Secrets,
    /// The Secret that `credentialsRef` names.
    pub name: &'a str,
    /// Whether the Secret is immutable.
    pub immutable: bool,
    /// With whether its seal fits the Secret's value.
    pub claim: Option<(&'a Claim, bool)>,
    pub record: Option<(&'a Record, bool)>,
    /// Whether the Secret has the value before.
    pub has_previous: bool,
    pub held: Option<&'a Held>,
    /// What the server lists of the operator's own registration, where it was asked.
    pub listed: Option<&'a [SecretInfo]>,
    /// Which of them the Secret holds, where that is known.
    pub current: Option<&'a SecretId>,
    pub overlap: Duration,
    pub now: Timestamp,
}

/// One thing to do. A crash between any two is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is due before this time.
    Rest(Option<Timestamp>),
    /// Ask the server which secrets there are.
    Look,
    /// The request cannot be carried out.
    Refuse(Finding),
    /// Write down that a replacement begins; the seal is still to be made.
    Claim(Claim),
    /// Have the server make a further secret.
    Add,
    /// Try the new one at the token endpoint.
    Prove,
    /// Put the new one into the Secret; the seal is still to be made.
    Publish(Record),
    /// Remove the new one, and the claim with it: the request has failed.
    Withdraw(Option<SecretId>, Finding),
    /// Remove one that nobody uses.
    Drop(Option<SecretId>),
    /// Remove the one before, at the server and then from the Secret.
    Retire(Option<SecretId>, Option<Finding>),
}

type Check = fn(&Facts<'_>) -> Option<Step>;

/// In the order in which a reader would ask. The first that has something to do decides.
const POLICY: &[Check] =
    &[superseded, changed_by_hand, taken_by_another, begun, obtained, overlap_over, stray, asked_for];

/// The next step.
pub fn decide(facts: &Facts<'_>) -> Step {
    let pending = facts.record.filter(|(record, _)| facts.has_previous || record.previous.is_some());
    let rest = || Step::Rest(pending.map(|(record, _)| record.retire_at));
    POLICY.iter().find_map(|check| check(facts)).unwrap_or_else(rest)
}

/// Which of the secrets the Secret holds. `is_ours`: whether the server shows the very value.
pub fn current(
    listed: &[SecretInfo],
    record: Option<(&Record, bool)>,
    is_ours: impl Fn(&SecretInfo) -> bool,
) -> Option<SecretId> {
    if let Some((record, true)) = record {
        return Some(record.current.clone());
    }
    let shown = listed.iter().find(|secret| is_ours(secret));
    let only = if let [only] = listed { Some(only) } else { None };
    shown.or(only).map(|secret| secret.id.clone())
}

fn later(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl Facts<'_> {
    /// Whether somebody asks for a replacement that has neither begun nor been answered.
    fn is_asked(&self) -> bool {
        let done = self.record.map(|(record, _)| record.request.as_str());
        self.claim.is_none()
            && self.request.is_some_and(|request| self.answered != Some(request) && done != Some(request))
    }

    fn marked(&self) -> impl Iterator<Item = &SecretInfo> {
        let marker = marker(self.uid);
        let listed = self.listed.unwrap_or_default().iter();
        listed.filter(move |secret| secret.description.as_ref() == Some(&marker))
    }

    /// Those that were made for a claim.
    fn newcomers(&self, claim: &Claim) -> Vec<SecretId> {
        self.marked().filter(|secret| !claim.known.contains(&secret.id)).map(|secret| secret.id.clone()).collect()
    }
}

/// What this process holds belongs to no claim of its own: somebody removed that, or another process took it over.
fn superseded(facts: &Facts<'_>) -> Option<Step> {
    let held = facts.held?;
    let ours = facts.claim.is_some_and(|(claim, _)| claim.holder == facts.identity);
    (!ours).then(|| Step::Drop(held.id.clone()))
}

/// The Secret does not hold any more what it held when the replacement began: whoever changed it decides.
fn changed_by_hand(facts: &Facts<'_>) -> Option<Step> {
    let (claim, false) = facts.claim? else { return None };
    let held = facts.held.and_then(|held| held.id.clone());
    if held.is_none() && facts.listed.is_none() {
        return Some(Step::Look);
    }
    let mut message =
        format!("Secret {} was changed while its credentials were being replaced, and is used as it is", facts.name);
    let newcomers = facts.newcomers(claim);
    let unclear: Vec<&str> = newcomers.iter().filter(|id| Some(*id) != held.as_ref()).map(SecretId::as_str).collect();
    if !unclear.is_empty() {
        let ids = unclear.join(", ");
        message = format!(
            "{message}. The operator made secrets {ids} at the server, and cannot tell whether they are in use: remove those that are not"
        );
    }
    Some(Step::Withdraw(held, Finding::stalled(Reason::RotationInterrupted, message)))
}

/// Another process is at work, or was.
fn taken_by_another(facts: &Facts<'_>) -> Option<Step> {
    let (claim, _) = facts.claim?;
    if claim.holder == facts.identity {
        return None;
    }
    let until = later(claim.at, HOLD);
    if facts.now < until {
        return Some(Step::Rest(Some(until)));
    }
    Some(claimed_by_us(facts, claim))
}

fn claimed_by_us(facts: &Facts<'_>, claim: &Claim) -> Step {
    Step::Claim(Claim { holder: facts.identity.to_owned(), at: facts.now, seal: String::new(), ..claim.clone() })
}

/// There is a claim of ours, and no secret for it: a new one is added once those are gone whose value was lost.
fn begun(facts: &Facts<'_>) -> Option<Step> {
    let (claim, _) = facts.claim?;
    if facts.held.is_some() {
        return None;
    }
    if later(claim.at, FRESH) <= facts.now {
        return Some(claimed_by_us(facts, claim));
    }
    if facts.listed.is_none() {
        return Some(Step::Look);
    }
    let lost = facts.newcomers(claim).into_iter().next();
    Some(lost.map_or(Step::Add, |lost| Step::Drop(Some(lost))))
}

/// There is a new secret: proven first, then published, or withdrawn in the end.
fn obtained(facts: &Facts<'_>) -> Option<Step> {
    let ((claim, _), held) = (facts.claim?, facts.held?);
    let again = |since: Timestamp| Step::Rest(Some(later(since, PAUSE)));
    if held.proven {
        let Some(current) = held.id.clone() else {
            // A read names it.
            let named = facts.listed.map(|_| facts.newcomers(claim).pop());
            return Some(named.map_or(Step::Look, |id| id.map_or(again(facts.now), |id| published(facts, claim, id))));
        };
        return Some(published(facts, claim, current));
    }
    if facts.now >= later(held.since, PROOF) {
        if held.id.is_none() && facts.listed.is_none() {
            return Some(Step::Look);
        }
        let message = format!(
            "the token endpoint did not accept a new secret within {} minutes; it is removed again, and the one before stays in use. Set the annotation to another value to try again",
            PROOF.as_secs() / 60
        );
        let id = held.id.clone().or_else(|| facts.newcomers(claim).pop());
        return Some(Step::Withdraw(id, Finding::stalled(Reason::ProofFailed, message)));
    }
    Some(match held.tried {
        Some(tried) if facts.now < later(tried, PAUSE) => again(tried),
        _ => Step::Prove,
    })
}

fn published(facts: &Facts<'_>, claim: &Claim, current: SecretId) -> Step {
    Step::Publish(Record {
        request: claim.request.clone(),
        current,
        previous: claim.previous.clone(),
        unclear: if claim.previous.is_none() { claim.known.clone() } else { Vec::new() },
        at: facts.now,
        retire_at: later(facts.now, facts.overlap),
        seal: String::new(),
    })
}

/// The value before goes when its time has come, or when somebody asks for the next.
fn overlap_over(facts: &Facts<'_>) -> Option<Step> {
    let (record, proven) = facts.record.filter(|_| facts.claim.is_none())?;
    let pending = facts.has_previous || record.previous.is_some();
    if !pending || (facts.now < record.retire_at && !facts.is_asked()) {
        return None;
    }
    if proven {
        return Some(Step::Retire(record.previous.clone(), None));
    }
    let ids: Vec<&str> = record.previous.iter().chain([&record.current]).map(SecretId::as_str).collect();
    let message = format!(
        "Secret {} does not hold any more what the operator put there. Nothing is removed at the server: remove those of the secrets {} that nobody uses",
        facts.name,
        ids.join(", ")
    );
    Some(Step::Retire(None, Some(Finding::stalled(Reason::SecretUnidentified, message))))
}

/// One of ours that is in no use, where it is known which is, and old enough that no process is about to publish it.
fn stray(facts: &Facts<'_>) -> Option<Step> {
    let (record, true) = facts.record.filter(|_| facts.claim.is_none())? else { return None };
    let in_use = |secret: &&SecretInfo| secret.id == record.current || Some(&secret.id) == record.previous.as_ref();
    let old = |secret: &&SecretInfo| secret.created_at.is_some_and(|created| later(created, HOLD) <= facts.now);
    let found = facts.marked().find(|secret| !in_use(secret) && old(secret))?;
    Some(Step::Drop(Some(found.id.clone())))
}

fn asked_for(facts: &Facts<'_>) -> Option<Step> {
    let request = facts.request.filter(|_| facts.is_asked())?;
    if let Some(finding) = obstacle(facts) {
        return Some(Step::Refuse(finding));
    }
    let Some(listed) = facts.listed else { return Some(Step::Look) };
    Some(Step::Claim(Claim {
        request: request.to_owned(),
        holder: facts.identity.to_owned(),
        at: facts.now,
        known: listed.iter().map(|secret| secret.id.clone()).collect(),
        previous: facts.current.cloned(),
        seal: String::new(),
    }))
}

/// Why the operator cannot replace its own credential here, and what a person does instead.
fn obstacle(facts: &Facts<'_>) -> Option<Finding> {
    let name = facts.name;
    let message = if !facts.registered {
        "the operator has no registration of its own at this server: replace by hand what credentialsRef names"
            .to_owned()
    } else if facts.secrets != Secrets::Several {
        format!(
            "this server keeps one secret for the operator's client, and a new one invalidates it at once, before it is written down: make a new one at the server and put it into Secret {name}"
        )
    } else if facts.immutable {
        format!("Secret {name} is immutable: make another one with a new client-secret, and name it in credentialsRef")
    } else {
        return None;
    };
    Some(Finding::stalled(Reason::NotSupported, message))
}

#[cfg(test)]
mod tests;
