//! The life of an application's secrets: which is published, which are on their way out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::registration::{Registered, SecretId, SecretInfo};
use crate::api::external_application::{CredentialKind, CredentialState, CredentialStatus};

/// How long a secret that was published stays valid after another one replaced it, so that what still runs with it can
/// be restarted.
pub const RETIREMENT: Duration = Duration::from_hours(1);

/// How long a secret of ours that no status names stays valid: longer than another operator process may still be at work
/// with it ([`super::intent::HOLD`]).
pub const STRAY: Duration = Duration::from_mins(1);

/// How far the time that the server gives to the secret of a create may be from the time at which we sent it: a request
/// that takes long, and clocks that differ.
const CREATE_WINDOW: Duration = Duration::from_mins(10);

/// How a secret that the operator added is marked at the server, so that one whose value was lost can be told apart from
/// those that people made.
pub fn marker(uid: &str) -> String {
    format!("extapp {uid}")
}

/// A secret that is published, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    pub id: SecretId,
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// When the token endpoint accepted it, where that was asked.
    pub verified_at: Option<Timestamp>,
}

impl Current {
    pub fn known_as(id: SecretId) -> Self {
        Self { id, created_at: None, expires_at: None, verified_at: None }
    }
}

/// What a pass leaves behind.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// The published secret.
    pub current: Option<&'a Current>,
    /// The secret that is to be published.
    pub pending: Option<&'a Current>,
    pub removed: &'a [SecretId],
    pub strays: &'a [SecretId],
    /// How long a secret that another one has replaced in this pass stays valid.
    pub overlap: Duration,
    /// Whether the application has a secret at all.
    pub keeps_secret: bool,
    /// How many running pods may still use a secret that was replaced, where that is known.
    pub holders: Option<usize>,
    pub now: Timestamp,
}

/// The secrets of a registration that can be removed now: replaced long enough ago. One whose time has come is named
/// even if the server no longer has it, so that the status can forget it.
///
/// `pending`: the secret that is to be published, which may be one that was replaced before. `rolled`: nobody uses a
/// replaced one any more.
pub fn removable(
    old: &[CredentialStatus],
    current: Option<&SecretId>,
    pending: Option<&SecretId>,
    rolled: bool,
    now: Timestamp,
) -> Vec<SecretId> {
    let retiring = |credential: &&CredentialStatus| {
        credential.kind == CredentialKind::Secret && credential.state == CredentialState::Retiring
    };
    // What came from another process may still be published by it, whoever uses what.
    let stray = |end: Timestamp| end.duration_since(now) <= SignedDuration::try_from(STRAY).unwrap_or_default();
    let early =
        |credential: &CredentialStatus| rolled && credential.expires_at.as_ref().is_some_and(|end| !stray(end.0));
    let due = old.iter().filter(retiring).filter(|credential| early(credential) || is_due(credential, now));
    due.map(|credential| SecretId::new(&credential.id))
        .filter(|id| Some(id) != current && Some(id) != pending)
        .collect()
}

/// The secrets that came from us and that no status names: their value was lost, or another process is about to publish
/// it. They go after a while.
pub fn strays(
    old: &[CredentialStatus],
    current: Option<&SecretId>,
    detail: &Registered,
    uid: &str,
    lost_create: Option<Timestamp>,
) -> Vec<SecretId> {
    let marker = marker(uid);
    let named = |id: &SecretId| old.iter().any(|credential| credential.id == id.as_str());
    let ours = |secret: &SecretInfo| {
        secret.description.as_deref() == Some(marker.as_str())
            || lost_create.is_some_and(|sent| came_with_the_create(secret, sent))
    };
    let unknown = detail.secrets.iter().filter(|secret| !named(&secret.id) && Some(&secret.id) != current);
    unknown.filter(|secret| ours(secret)).map(|secret| secret.id.clone()).collect()
}

/// Whether a secret is the one that a create of this time made: later ones may be anybody's.
fn came_with_the_create(secret: &SecretInfo, sent: Timestamp) -> bool {
    let window = SignedDuration::try_from(CREATE_WINDOW).unwrap_or(SignedDuration::ZERO);
    secret.created_at.is_none_or(|created| created.duration_since(sent).abs() <= window)
}

fn is_due(credential: &CredentialStatus, now: Timestamp) -> bool {
    credential.state == CredentialState::Retiring && credential.expires_at.as_ref().is_some_and(|end| end.0 <= now)
}

/// The secrets that are to be published or were: their identifiers.
pub fn passing(listed: &[CredentialStatus]) -> Vec<String> {
    let secrets = listed.iter().filter(|credential| credential.kind == CredentialKind::Secret);
    secrets.filter(|secret| secret.state != CredentialState::Active).map(|secret| secret.id.clone()).collect()
}

/// What the status says of the credentials after a pass.
pub fn after(old: &[CredentialStatus], left: &Left<'_>) -> Vec<CredentialStatus> {
    let until = |span| {
        let span = SignedDuration::try_from(span).unwrap_or_default();
        left.now.saturating_add(span).unwrap_or(left.now)
    };
    let mut list: Vec<CredentialStatus> = left.current.map(|current| active(old, current)).into_iter().collect();
    let replaced = left.current.is_some() || !left.keeps_secret;
    for credential in old {
        let is = |id: &SecretId| id.as_str() == credential.id;
        if credential.kind != CredentialKind::Secret {
            list.push(credential.clone());
            continue;
        }
        if left.current.is_some_and(|current| is(&current.id)) || left.removed.iter().any(is) {
            continue;
        }
        let awaited = left.pending.is_some_and(|pending| is(&pending.id));
        let ends = match credential.state {
            CredentialState::Active if replaced => Some(until(left.overlap)),
            CredentialState::Pending if awaited => continue,
            // Its value was lost.
            CredentialState::Pending => Some(until(STRAY)),
            CredentialState::Active | CredentialState::Retiring => None,
        };
        let mut retiring = credential.clone();
        if let Some(ends) = ends {
            let own = credential.expires_at.as_ref().map_or(ends, |expires| expires.0);
            retiring.state = CredentialState::Retiring;
            retiring.expires_at = Some(whole(ends.min(own)));
        }
        retiring.pods = match (retiring.state, left.holders) {
            (CredentialState::Retiring, Some(holders)) => i32::try_from(holders).ok(),
            _ => None,
        };
        list.push(retiring);
    }
    let known = |id: &SecretId| {
        old.iter().any(|credential| credential.id == id.as_str() && credential.state == CredentialState::Retiring)
    };
    list.extend(left.pending.filter(|pending| !known(&pending.id)).map(|pending| CredentialStatus {
        created_at: pending.created_at.map(whole),
        expires_at: pending.expires_at.map(whole),
        ..entry(pending.id.as_str(), CredentialState::Pending)
    }));
    let strays = left.strays.iter().filter(|id| left.pending.is_none_or(|pending| pending.id != **id));
    list.extend(strays.map(|id| CredentialStatus {
        expires_at: Some(whole(until(STRAY))),
        ..entry(id.as_str(), CredentialState::Retiring)
    }));
    list
}

fn active(old: &[CredentialStatus], current: &Current) -> CredentialStatus {
    let before = old.iter().find(|credential| credential.id == current.id.as_str());
    CredentialStatus {
        created_at: current.created_at.map(whole).or_else(|| before.and_then(|c| c.created_at.clone())),
        expires_at: current
            .expires_at
            .map(whole)
            .or_else(|| before.filter(|c| c.state == CredentialState::Active).and_then(|c| c.expires_at.clone())),
        verified_at: current.verified_at.map(whole).or_else(|| before.and_then(|c| c.verified_at.clone())),
        ..entry(current.id.as_str(), CredentialState::Active)
    }
}

/// A secret of which nothing more is known.
fn entry(id: &str, state: CredentialState) -> CredentialStatus {
    CredentialStatus {
        id: id.to_owned(),
        kind: CredentialKind::Secret,
        state,
        name: None,
        created_at: None,
        expires_at: None,
        verified_at: None,
        pods: None,
    }
}

/// Kubernetes keeps times to the second; a finer one would look changed after every write.
pub fn whole(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// When the next secret is due for removal.
pub fn next_retirement(credentials: &[CredentialStatus]) -> Option<Timestamp> {
    credentials
        .iter()
        .filter(|credential| credential.state == CredentialState::Retiring)
        .filter_map(|credential| credential.expires_at.as_ref().map(|time| time.0))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{NOON, registered, secret_info};

    fn current(id: &str) -> Current {
        Current::known_as(SecretId::new(id))
    }

    fn left(current: Option<&Current>, now: Timestamp) -> Left<'_> {
        let (overlap, keeps_secret) = (RETIREMENT, true);
        Left { current, pending: None, removed: &[], strays: &[], overlap, keeps_secret, holders: None, now }
    }

    fn after(
        old: &[CredentialStatus],
        current: Option<&Current>,
        removed: &[SecretId],
        strays: &[SecretId],
        now: Timestamp,
    ) -> Vec<CredentialStatus> {
        super::after(old, &Left { removed, strays, ..left(current, now) })
    }

    fn removable(old: &[CredentialStatus], current: Option<&SecretId>, now: Timestamp) -> Vec<SecretId> {
        super::removable(old, current, None, false, now)
    }

    fn ids(list: &[SecretId]) -> Vec<&str> {
        list.iter().map(SecretId::as_str).collect()
    }

    fn names(list: &[CredentialStatus]) -> Vec<(&str, CredentialState)> {
        list.iter().map(|credential| (credential.id.as_str(), credential.state)).collect()
    }

    #[test]
    fn a_replaced_secret_stays_valid_for_a_while_and_is_then_removed() {
        let first = after(&[], Some(&current("1")), &[], &[], NOON);
        let second = after(&first, Some(&current("2")), &[], &[], NOON);
        assert_eq!(second[1].state, CredentialState::Retiring);
        let later = NOON + SignedDuration::try_from(RETIREMENT).expect("fits");
        let two = SecretId::new("2");
        assert!(removable(&second, Some(&two), NOON).is_empty());
        let due = removable(&second, Some(&two), later);
        assert_eq!(ids(&due), ["1"]);
        assert_eq!(after(&second, Some(&current("2")), &due, &[], later).len(), 1);
    }

    #[test]
    fn a_secret_that_is_to_be_published_is_pending_and_one_whose_value_was_lost_goes() {
        let first = after(&[], Some(&current("1")), &[], &[], NOON);
        let (one, two) = (current("1"), Current { created_at: Some(NOON), ..current("2") });
        let pending = super::after(&first, &Left { pending: Some(&two), ..left(Some(&one), NOON) });
        assert_eq!(names(&pending), [("1", CredentialState::Active), ("2", CredentialState::Pending)]);
        let again = super::after(&pending, &Left { pending: Some(&two), ..left(Some(&one), NOON) });
        assert_eq!(again, pending);
        let lost = after(&pending, Some(&one), &[], &[], NOON);
        assert_eq!(names(&lost), [("1", CredentialState::Active), ("2", CredentialState::Retiring)]);
        let published = after(&pending, Some(&two), &[], &[], NOON);
        assert_eq!(names(&published), [("2", CredentialState::Active), ("1", CredentialState::Retiring)]);
    }

    #[test]
    fn what_is_published_again_is_not_removed_meanwhile_and_loses_its_end() {
        let first = after(&[], Some(&current("1")), &[], &[], NOON);
        let second = after(&first, Some(&current("2")), &[], &[], NOON);
        let later = NOON + SignedDuration::try_from(RETIREMENT).expect("fits");
        let (one, two) = (SecretId::new("1"), SecretId::new("2"));
        assert!(super::removable(&second, Some(&two), Some(&one), false, later).is_empty());
        let back = after(&second, Some(&current("1")), &[], &[], later);
        assert_eq!(names(&back), [("1", CredentialState::Active), ("2", CredentialState::Retiring)]);
        assert_eq!(back[0].expires_at, None);
    }

    #[test]
    fn once_nobody_uses_a_replaced_secret_it_goes_before_its_time_and_a_stray_does_not() {
        let first = after(&[], Some(&current("1")), &[], &[], NOON);
        let second = after(&first, Some(&current("2")), &[], &[SecretId::new("3")], NOON);
        let two = SecretId::new("2");
        assert_eq!(ids(&super::removable(&second, Some(&two), None, true, NOON)), ["1"]);
        let held = super::after(&second, &Left { holders: Some(4), ..left(Some(&current("2")), NOON) });
        assert_eq!(held.iter().map(|credential| credential.pods).collect::<Vec<_>>(), [None, Some(4), Some(4)]);
    }

    #[test]
    fn an_application_that_does_without_a_secret_loses_those_that_it_had_after_a_while() {
        let first = after(&[], Some(&current("1")), &[], &[], NOON);
        let left = Left { keeps_secret: false, ..left(None, NOON) };
        assert_eq!(names(&super::after(&first, &left)), [("1", CredentialState::Retiring)]);
        assert_eq!(names(&after(&first, None, &[], &[], NOON)), [("1", CredentialState::Active)], "only not known now");
    }

    #[test]
    fn a_secret_that_people_made_is_no_stray_but_a_lost_one_of_ours_is() {
        let secrets = vec![
            secret_info("1", None),
            secret_info("2", Some(&marker("app-uid"))),
            secret_info("3", Some("made by hand")),
            secret_info("4", Some(&marker("another-uid"))),
        ];
        let detail = Registered { secrets, ..registered("id") };
        let one = SecretId::new("1");
        assert_eq!(ids(&strays(&[], Some(&one), &detail, "app-uid", None)), ["2"]);
    }

    #[test]
    fn of_a_registration_whose_create_was_lost_no_other_secret_was_ever_published() {
        let later = SecretInfo { created_at: Some(NOON + SignedDuration::from_secs(3_600)), ..secret_info("3", None) };
        let secrets = vec![secret_info("1", None), secret_info("2", None), later];
        let detail = Registered { secrets, ..registered("id") };
        let two = SecretId::new("2");
        let found = strays(&[], Some(&two), &detail, "app-uid", Some(NOON));
        assert_eq!(ids(&found), ["1"], "a later one may be anybody's");
    }

    #[test]
    fn a_stray_is_named_at_once_and_goes_when_nobody_can_be_about_to_publish_it() {
        let strayed = after(&[], Some(&current("2")), &[], &[SecretId::new("1")], NOON);
        assert_eq!(names(&strayed), [("2", CredentialState::Active), ("1", CredentialState::Retiring)]);
        let detail = Registered { secrets: vec![secret_info("1", Some(&marker("app-uid")))], ..registered("id") };
        assert!(strays(&strayed, Some(&SecretId::new("2")), &detail, "app-uid", None).is_empty(), "it is known now");
        let later = NOON + SignedDuration::try_from(STRAY).expect("fits");
        assert!(removable(&strayed, None, NOON).is_empty());
        assert_eq!(ids(&removable(&strayed, None, later)), ["1"]);
        assert!(STRAY > super::super::intent::HOLD);
    }

    #[test]
    fn the_same_facts_give_the_same_status() {
        let first = after(&[], Some(&Current { created_at: Some(NOON), ..current("1") }), &[], &[], NOON);
        assert_eq!(after(&first, Some(&current("1")), &[], &[], NOON + SignedDuration::from_secs(9)), first);
    }
}
