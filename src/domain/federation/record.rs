//! What the status says of federated credentials, and which of them may go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Change, Federated, Trust, steps};
use crate::api::ExternalApplication;
use crate::api::external_application::{CredentialKind, CredentialState, CredentialStatus, FieldDifference};
use crate::domain::credentials::whole;
use crate::domain::intent::READ_LAG;

/// The federated credentials that a status names.
pub fn recorded(credentials: &[CredentialStatus]) -> impl Iterator<Item = &CredentialStatus> {
    credentials.iter().filter(|credential| credential.kind == CredentialKind::Federated)
}

/// Whether an application has, or may still have, federated credentials: nobody else's are asked for.
pub fn federates(app: &ExternalApplication) -> bool {
    !app.spec.federated_credentials.is_empty() || recorded(credentials(app)).next().is_some()
}

fn credentials(app: &ExternalApplication) -> &[CredentialStatus] {
    app.status.as_ref().map_or(&[], |status| &status.credentials)
}

/// One whose answer was lost so recently that the server may have it and not show it yet: until when that may be so.
/// Until then nothing of its name is added.
pub fn lost(app: &ExternalApplication, known: &[Federated], now: Timestamp) -> Option<Timestamp> {
    recorded(credentials(app)).filter_map(|credential| lost_until(credential, known, now)).max()
}

fn lost_until(credential: &CredentialStatus, known: &[Federated], now: Timestamp) -> Option<Timestamp> {
    let shown = known.iter().any(|federated| Some(&federated.trust.name) == credential.name.as_ref());
    if credential.state != CredentialState::Pending || shown {
        return None;
    }
    let lag = SignedDuration::try_from(READ_LAG).unwrap_or_default();
    credential.created_at.as_ref()?.0.checked_add(lag).ok().filter(|until| *until > now)
}

/// What has to change at a registration that has these.
///
/// What the spec does not list goes: at once where this object said before that it stands for the registration, and where
/// the status names it, when its time has come. With nothing listed only what the status names goes: then the list says
/// nothing of what others have made.
pub fn changes(
    app: &ExternalApplication,
    wanted: &[Trust],
    registration: &str,
    known: &[Federated],
    most: usize,
    now: Timestamp,
) -> Vec<Change> {
    let stands_for_it = app.status.as_ref().is_some_and(|status| status.client_id.as_deref() == Some(registration));
    let old = if stands_for_it { credentials(app) } else { &[] };
    let may_remove = |federated: &Federated| {
        let of_its_name = |credential: &CredentialStatus| {
            credential.state == CredentialState::Pending && credential.name.as_deref() == Some(&federated.trust.name)
        };
        match recorded(old).find(|credential| credential.id == federated.id) {
            Some(credential) => !stays(app, credential, now),
            None => stands_for_it && (!wanted.is_empty() || recorded(old).any(of_its_name)),
        }
    };
    steps(wanted, &with_the_latest(old, wanted, known, now), most, may_remove)
}

/// Whether one that the spec does not list stays for a while: the secret that takes its place has to reach those who use it.
fn stays(app: &ExternalApplication, credential: &CredentialStatus, now: Timestamp) -> bool {
    match (credential.state, &credential.expires_at) {
        (CredentialState::Retiring, Some(end)) => end.0 > now,
        (CredentialState::Active, _) => gives_way_to_a_secret(app),
        _ => false,
    }
}

/// Whether the application goes back from federated credentials to a secret, and no secret was published so far.
fn gives_way_to_a_secret(app: &ExternalApplication) -> bool {
    let secret = |credential: &CredentialStatus| {
        credential.kind == CredentialKind::Secret && credential.state == CredentialState::Active
    };
    app.spec.federated_credentials.is_empty()
        && crate::domain::observed::keeps_secret(app)
        && !credentials(app).iter().any(secret)
}

/// What the server tells, and what was made so recently that it may not tell it yet.
fn with_the_latest(old: &[CredentialStatus], wanted: &[Trust], known: &[Federated], now: Timestamp) -> Vec<Federated> {
    let lag = SignedDuration::try_from(READ_LAG).unwrap_or_default();
    let young = |credential: &&CredentialStatus| {
        credential.state == CredentialState::Active
            && credential.created_at.as_ref().is_some_and(|made| now.duration_since(made.0) < lag)
            && !known.iter().any(|federated| federated.id == credential.id)
    };
    let latest = recorded(old).filter(young).filter_map(|credential| {
        let trust = wanted.iter().find(|trust| Some(&trust.name) == credential.name.as_ref())?;
        Some(Federated { id: credential.id.clone(), trust: trust.clone() })
    });
    known.iter().cloned().chain(latest).collect()
}

/// What a pass leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// What the registration has now; `None`: nobody looked.
    pub known: Option<Vec<Federated>>,
    /// The name of one whose answer was lost: it may be there.
    pub lost: Option<String>,
}

impl Left {
    /// What was done is so from now on.
    pub fn did(&mut self, step: &Change, added: Option<Federated>) {
        let known = self.known.get_or_insert_default();
        match step {
            Change::Add(_) => known.extend(added),
            Change::Replace { credential, trust } => {
                for federated in known.iter_mut().filter(|federated| federated.id == *credential) {
                    federated.trust = trust.clone();
                }
            }
            Change::Remove { credential } => known.retain(|federated| federated.id != *credential),
        }
    }
}

/// What the status says of them after a pass over a registration. `overlap`: how long one stays that gives way to a secret.
pub fn after(
    app: &ExternalApplication,
    old: &[CredentialStatus],
    wanted: &[Trust],
    left: &Left,
    overlap: Duration,
    now: Timestamp,
) -> Vec<CredentialStatus> {
    let is_wanted = |name: &str| wanted.iter().any(|trust| trust.name == name);
    let before = |id: &str| recorded(old).find(|credential| credential.id == id);
    let retiring = |credential: &CredentialStatus| retiring(app, credential, overlap, now);
    let mut list: Vec<CredentialStatus> = match &left.known {
        None => recorded(old)
            .map(|credential| {
                if is_wanted(credential.name.as_deref().unwrap_or_default()) {
                    credential.clone()
                } else {
                    retiring(credential)
                }
            })
            .collect(),
        Some(known) => {
            let known = with_the_latest(old, wanted, known, now);
            let listed = known.iter().filter(|federated| is_wanted(&federated.trust.name));
            let active = listed.map(|federated| CredentialStatus {
                created_at: before(&federated.id).map_or_else(|| Some(whole(now)), |old| old.created_at.clone()),
                ..entry(&federated.id, &federated.trust.name, CredentialState::Active)
            });
            let rest = known.iter().filter(|federated| !is_wanted(&federated.trust.name));
            let rest = rest.filter_map(|federated| before(&federated.id)).map(retiring);
            let lost = recorded(old).filter(|credential| lost_until(credential, &known, now).is_some()).cloned();
            active.chain(rest).chain(lost).collect()
        }
    };
    let told = |name: &String| list.iter().any(|credential| credential.name.as_ref() == Some(name));
    if let Some(name) = left.lost.as_ref().filter(|name| !told(name)) {
        let created_at = Some(whole(now));
        list.push(CredentialStatus { created_at, ..entry(name, name, CredentialState::Pending) });
    }
    list.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    list
}

/// One that the spec does not list any more and that is still there.
fn retiring(
    app: &ExternalApplication,
    credential: &CredentialStatus,
    overlap: Duration,
    now: Timestamp,
) -> CredentialStatus {
    let mut credential = credential.clone();
    if credential.state == CredentialState::Active && gives_way_to_a_secret(app) {
        let overlap = SignedDuration::try_from(overlap).unwrap_or_default();
        credential.state = CredentialState::Retiring;
        credential.expires_at = Some(whole(now.saturating_add(overlap).unwrap_or(now)));
    }
    credential
}

fn entry(id: &str, name: &str, state: CredentialState) -> CredentialStatus {
    CredentialStatus {
        id: id.to_owned(),
        kind: CredentialKind::Federated,
        state,
        name: Some(name.to_owned()),
        created_at: None,
        expires_at: None,
        verified_at: None,
        pods: None,
    }
}

/// What differs, for who only watches.
pub fn difference(wanted: &[Trust], known: &[Federated]) -> Option<FieldDifference> {
    let said = |trusts: Vec<&Trust>| {
        let mut words: Vec<String> = trusts
            .into_iter()
            .map(|trust| format!("{}: {} for {} of {}", trust.name, trust.subject, trust.audience, trust.issuer))
            .collect();
        words.sort();
        words.join("; ").chars().take(1_000).collect::<String>()
    };
    let (desired, actual) = (said(wanted.iter().collect()), said(known.iter().map(|known| &known.trust).collect()));
    (desired != actual).then(|| FieldDifference { field: "federatedCredentials".into(), desired, actual })
}

#[cfg(test)]
mod tests;
