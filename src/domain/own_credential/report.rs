//! What is told of the operator's own credential.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Facts, Record};
use crate::api::ROTATE;
use crate::api::authorization_server::{OperatorCredential, PreviousCredential};
use crate::domain::capabilities::Secrets;
use crate::domain::credentials::whole;
use crate::domain::reason::Reason;
use crate::domain::registration::SecretInfo;

/// How long before the end an expiry is told of, at the most; of a shorter life it is the last third.
const AHEAD: Duration = Duration::from_hours(30 * 24);

/// How the answer to a request stands: a condition.
pub type Answer = (bool, Reason, String);

/// What the status says of the operator's own credential.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub credential: Option<OperatorCredential>,
    /// That it expires soon, and what to do.
    pub expiring: Option<String>,
    /// What became of the request for another one; `None`: what was said before holds.
    pub rotated: Option<Answer>,
}

/// What is known after a pass; `None` where nothing is. `answered`: the request that has an answer.
pub fn credential(facts: &Facts<'_>, answered: Option<&str>) -> Option<OperatorCredential> {
    let record = facts.record.filter(|(_, proven)| *proven).map(|(record, _)| record);
    let of = |id| facts.listed.unwrap_or_default().iter().find(|secret| Some(&secret.id) == id);
    let known = of(facts.current);
    let several = facts.listed.filter(|listed| known.is_none() && listed.len() > 1);
    let earliest = several.and_then(|listed| earliest(listed, facts.now));
    let expires = known.and_then(|secret| secret.expires_at).or_else(|| earliest.and_then(|secret| secret.expires_at));
    let credential = OperatorCredential {
        id: facts.current.map(ToString::to_string),
        created_at: known.and_then(|secret| secret.created_at).map(whole),
        expires_at: expires.map(whole),
        candidates: several.and_then(|listed| i32::try_from(listed.len()).ok()),
        rotated_at: record.map(|record| whole(record.at)),
        previous: record.filter(|record| facts.has_previous || record.previous.is_some()).map(previous),
        request: answered.map(ToOwned::to_owned),
    };
    (credential != OperatorCredential::default()).then_some(credential)
}

fn previous(record: &Record) -> PreviousCredential {
    PreviousCredential { id: record.previous.as_ref().map(ToString::to_string), remove_at: whole(record.retire_at) }
}

/// Of those that are still valid.
fn earliest(listed: &[SecretInfo], now: Timestamp) -> Option<&SecretInfo> {
    let valid = listed.iter().filter(|secret| secret.expires_at.is_some_and(|end| end > now));
    valid.min_by_key(|secret| secret.expires_at)
}

/// That the credential expires soon, and what to do.
pub fn expiring(credential: &OperatorCredential, facts: &Facts<'_>) -> Option<String> {
    let end = credential.expires_at.as_ref()?.0;
    let life = credential.created_at.as_ref().map(|created| end.duration_since(created.0) / 3);
    let ahead = SignedDuration::try_from(AHEAD).unwrap_or(SignedDuration::MAX);
    if end.duration_since(facts.now) > life.map_or(ahead, |third| third.min(ahead)) {
        return None;
    }
    let name = facts.name;
    let what = match (&credential.id, credential.candidates) {
        (Some(id), _) => format!("the operator's own secret {id} at the server"),
        (None, Some(count)) => format!(
            "the first of the {count} secrets of the operator's own registration, of which it is not known which one Secret {name} holds,"
        ),
        (None, None) => "the operator's own secret at the server".to_owned(),
    };
    let act = if facts.secrets == Secrets::Several && facts.registered && !facts.immutable {
        format!("annotate this object with {ROTATE}=<any new value> to have it replaced")
    } else {
        format!("make a new one at the server and put it into Secret {name}")
    };
    Some(format!("{what} expires at {end}: {act}"))
}

/// That the request of a record was carried out.
pub fn carried_out(record: &Record, pending: bool) -> Answer {
    let Record { current, at, .. } = record;
    let since = whole(*at).0;
    let before = match &record.previous {
        Some(previous) if pending => {
            format!("; the one before it, {previous}, is removed at {}", whole(record.retire_at).0)
        }
        None if !record.unclear.is_empty() => {
            let ids: Vec<&str> = record.unclear.iter().map(super::SecretId::as_str).collect();
            format!(
                ". Which of the secrets {} was in use before is not known, and none is removed: remove at the server those that nobody uses",
                ids.join(", ")
            )
        }
        _ => String::new(),
    };
    (true, Reason::Rotated, format!("secret {current} is in use since {since}{before}"))
}

/// What was known of the credential before, with what is known now without the server's list.
pub fn known_before(before: OperatorCredential, now: Option<&OperatorCredential>) -> OperatorCredential {
    let now = now.cloned().unwrap_or_default();
    OperatorCredential { rotated_at: now.rotated_at, previous: now.previous, request: now.request, ..before }
}
