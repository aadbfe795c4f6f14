//! What the operator keeps of an application's secrets while a rotation is under way: the one that is to be published, so
//! that a crash does not lose it, and the one before, so that it can be published again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Trigger;
use crate::api::external_application::CredentialStatus;
use crate::api::rotation::RotationStatus;
use crate::domain::intent::READ_LAG;
use crate::domain::outputs::checksum;
use crate::domain::registration::{ClientId, ClientSecret, SecretId};

/// Marks the object that the secrets are kept in: it is no output.
pub const KEPT: &str = "extapp.dev/kept";
/// Why the rotation began.
pub const TRIGGER: &str = "extapp.dev/rotation-trigger";
/// The value of the annotation that asked for it.
pub const REQUEST: &str = "extapp.dev/rotation-request";
/// When the secret that is to be published was made.
pub const SINCE: &str = "extapp.dev/rotation-since";
/// Proof that the operator wrote it, made with its own credentials: whoever may write Secrets could otherwise name any secret
/// of the server here, and have it removed there.
pub const SEAL: &str = "extapp.dev/rotation-seal";
/// The identifiers of the two.
const IDS: [(&str, &str); 2] = [("next-id", "next-secret"), ("previous-id", "previous-secret")];

/// A secret and the server's name for it.
#[derive(Clone)]
pub struct Secret {
    pub id: SecretId,
    pub value: std::sync::Arc<ClientSecret>,
}

impl Secret {
    pub fn new(id: SecretId, value: &ClientSecret) -> Self {
        Self { id, value: std::sync::Arc::new(ClientSecret::new(value.expose())) }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.value.expose() == other.value.expose()
    }
}

impl Eq for Secret {}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub client_id: ClientId,
    /// The secret that is to be published, or that was.
    pub next: Option<Secret>,
    /// The one that was published before it.
    pub previous: Option<Secret>,
    pub trigger: Trigger,
    pub request: Option<String>,
    pub since: Timestamp,
}

/// The same as it is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenKept {
    pub uid: String,
    pub resource_version: String,
    pub kept: Kept,
    /// What its seal was made with.
    pub seal: Seal,
}

/// What a seal was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// The operator's own credential of now.
    Current,
    /// The one before it, which is recognised for a while.
    Former,
    /// Something else: the operator never wrote it, or so long ago that nobody can tell.
    Foreign,
}

/// What stands where something is kept, and is nothing to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// An object of ours that somebody has changed: it is written anew.
    Damaged { uid: String, resource_version: String },
    /// An object that is not ours to write.
    InTheWay { because: String },
}

impl Kept {
    /// The name of the object that it is kept in: no other application's.
    pub fn object_name(app: &str, uid: &str) -> String {
        format!("{app}-rotation-{}", &crate::domain::hex(&Sha256::digest(uid))[..8])
    }

    /// The secret that is to be published, while another one still is. Once the status says that it was, it is not to be any
    /// more: if another one is current then, somebody has removed it at the server.
    pub fn under_way(&self, current: Option<&SecretId>, status: Option<&RotationStatus>) -> Option<&Secret> {
        self.next.as_ref().filter(|next| Some(&next.id) != current && !self.is_recorded(status))
    }

    /// Whether the status says that the rotation was brought to its end. Its times are whole seconds.
    pub fn is_recorded(&self, status: Option<&RotationStatus>) -> bool {
        let Some(status) = status else { return false };
        let last = status.last_time.as_ref().map(|time| time.0);
        if let Some(request) = &self.request {
            return super::is_handled(status, self.trigger, request) || last.is_some_and(|last| last > self.since);
        }
        last.is_some_and(|last| last >= crate::domain::credentials::whole(self.since).0)
    }

    /// Whether it is still of use once the status says this: while it is to be published, and as long as the one before can
    /// be published again.
    pub fn is_needed(&self, credentials: &[CredentialStatus], status: Option<&RotationStatus>) -> bool {
        let current = super::current(credentials).map(|credential| SecretId::new(&credential.id));
        self.under_way(current.as_ref(), status).is_some()
            || super::previous(credentials, self.previous.as_ref().map(|previous| &previous.id)).is_some()
    }

    /// The contents of the object.
    pub fn data(&self, uid: &str) -> BTreeMap<String, SecretString> {
        let mut data = BTreeMap::new();
        for (secret, (id, value)) in [&self.next, &self.previous].into_iter().zip(IDS) {
            let Some(secret) = secret else { continue };
            data.insert(id.to_owned(), SecretString::from(secret.id.to_string()));
            data.insert(value.to_owned(), SecretString::from(secret.value.expose().to_owned()));
            data.insert(sum_of(value), SecretString::from(checksum(uid, &secret.id, &secret.value)));
        }
        data
    }

    /// What the seal is made over: everything, for this application alone. The values stand in it as their checksums.
    pub fn sealed_text(&self, uid: &str) -> String {
        let secret = |secret: &Option<Secret>| {
            secret.as_ref().map(|secret| (secret.id.to_string(), checksum(uid, &secret.id, &secret.value)))
        };
        let (next, previous) = (secret(&self.next), secret(&self.previous));
        let trigger = self.trigger.as_str();
        serde_json::json!(["rotation", uid, self.client_id.as_str(), trigger, self.request, self.since, next, previous])
            .to_string()
    }

    /// The keys of its data and of its annotations: those that it does not have must not be in the object either.
    pub fn keys() -> (impl Iterator<Item = String>, [&'static str; 6]) {
        let data = IDS.into_iter().flat_map(|(id, value)| [id.to_owned(), value.to_owned(), sum_of(value)]);
        (data, [KEPT, crate::domain::outputs::CLIENT_ID, TRIGGER, REQUEST, SINCE, SEAL])
    }

    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (KEPT.to_owned(), "true".to_owned()),
            (crate::domain::outputs::CLIENT_ID.to_owned(), self.client_id.to_string()),
            (TRIGGER.to_owned(), self.trigger.as_str().to_owned()),
            (SINCE.to_owned(), self.since.to_string()),
        ]);
        annotations.extend(self.request.clone().map(|request| (REQUEST.to_owned(), request)));
        annotations
    }

    /// Reads it back. A secret that somebody has changed is not there; an object that says nothing of a rotation is none.
    pub fn read(
        uid: &str,
        data: &BTreeMap<String, SecretString>,
        annotations: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let text = |key: &str| data.get(key).map(ExposeSecret::expose_secret);
        let secret = |(id, value): (&str, &str)| {
            let (id, secret) = (SecretId::new(text(id)?), ClientSecret::new(text(value)?));
            let intact = text(&sum_of(value))? == checksum(uid, &id, &secret);
            intact.then(|| Secret::new(id, &secret))
        };
        Some(Self {
            client_id: ClientId::new(annotations.get(crate::domain::outputs::CLIENT_ID)?),
            next: secret(IDS[0]),
            previous: secret(IDS[1]),
            trigger: annotations.get(TRIGGER)?.parse().ok()?,
            request: annotations.get(REQUEST).cloned(),
            since: annotations.get(SINCE)?.parse().ok()?,
        })
    }
}

/// Whether a secret is so young that the server's reads need not show it. `listed`: what the status names; what is kept may be
/// younger.
pub fn may_not_show(listed: &[CredentialStatus], kept: Option<&Kept>, secret: &SecretId, now: Timestamp) -> bool {
    let listed = listed.iter().find(|credential| credential.id == secret.as_str());
    let kept = kept.filter(|kept| kept.next.as_ref().is_some_and(|next| next.id == *secret));
    let made = listed.and_then(|credential| Some(credential.created_at.as_ref()?.0)).or(kept.map(|kept| kept.since));
    made.is_some_and(|made| now < super::later(made, READ_LAG))
}

fn sum_of(key: &str) -> String {
    format!("{key}-checksum")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::NOON;
    use proptest::prelude::*;

    fn kept() -> Kept {
        let secret = |id: &str| Secret::new(SecretId::new(id), &ClientSecret::new(format!("value of {id}")));
        Kept {
            client_id: ClientId::new("id"),
            next: Some(secret("2")),
            previous: Some(secret("1")),
            trigger: Trigger::Requested,
            request: Some("now".into()),
            since: NOON,
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_what_somebody_changed_is_not() {
        let kept = kept();
        assert_eq!(Kept::read("uid", &kept.data("uid"), &kept.annotations()), Some(kept.clone()));
        let mut data = kept.data("uid");
        data.insert("next-secret".into(), SecretString::from("another".to_owned()));
        let read = Kept::read("uid", &data, &kept.annotations()).expect("an object of ours");
        assert_eq!((read.next, read.previous), (None, kept.previous.clone()));
        assert_eq!(Kept::read("uid", &kept.data("uid"), &BTreeMap::new()), None);
    }

    #[test]
    fn the_seal_covers_everything_that_is_kept_and_whose_it_is() {
        let secret = |id: &str| Some(Secret::new(SecretId::new(id), &ClientSecret::new("value")));
        let original = kept();
        let mut changed = vec![original.clone(); 6];
        changed[0].client_id = ClientId::new("other");
        changed[1].next = secret("7");
        changed[2].previous = None;
        changed[3].trigger = Trigger::RolledBack;
        changed[4].request = None;
        changed[5].since = NOON + jiff::SignedDuration::from_secs(1);
        let text = original.sealed_text("uid");
        assert!(changed.iter().all(|changed| changed.sealed_text("uid") != text));
        assert_ne!(original.sealed_text("another"), text);
        assert!(!text.contains("value of"));
    }

    #[test]
    fn a_rotation_is_recorded_once_the_status_says_that_it_was_carried_out() {
        let requested = kept();
        let scheduled = Kept { trigger: Trigger::Schedule, request: None, ..kept() };
        let at = |seconds| {
            let time = crate::domain::credentials::whole(NOON + jiff::SignedDuration::from_secs(seconds));
            RotationStatus { last_time: Some(time), ..RotationStatus::default() }
        };
        let settled = RotationStatus { rotate: Some("now".into()), ..at(0) };
        assert!(!requested.is_recorded(None) && !requested.is_recorded(Some(&at(0))), "another one ended just before");
        assert!(requested.is_recorded(Some(&settled)) && requested.is_recorded(Some(&at(1))));
        assert!(!scheduled.is_recorded(Some(&at(-1))) && scheduled.is_recorded(Some(&at(0))));
    }

    #[test]
    fn a_secret_need_not_show_for_a_while_after_it_was_made_whoever_names_it() {
        let mut listed = crate::domain::fixtures::settled(crate::domain::fixtures::app(), "id", "1");
        let listed = &mut listed.status.as_mut().expect("a status").credentials;
        listed[0].created_at = Some(crate::domain::credentials::whole(NOON));
        let after = |seconds| NOON + jiff::SignedDuration::from_secs(seconds);
        for (what, listed, kept, id, seconds, expected) in [
            ("just made", &listed[..], None, "1", 19, true),
            ("made a while ago", listed, None, "1", 20, false),
            ("known to nobody", listed, None, "2", 1, false),
            ("kept, and not reported yet", listed, Some(kept()), "2", 19, true),
            ("kept a while ago", listed, Some(kept()), "2", 20, false),
            ("the one before it", &[], Some(kept()), "1", 1, false),
        ] {
            let found = may_not_show(listed, kept.as_ref(), &SecretId::new(id), after(seconds));
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_rotation_is_under_way_until_its_secret_is_the_current_one() {
        let kept = kept();
        assert!(kept.under_way(Some(&SecretId::new("1")), None).is_some() && kept.under_way(None, None).is_some());
        assert!(kept.under_way(Some(&SecretId::new("2")), None).is_none());
        let recorded = RotationStatus { rotate: Some("now".into()), ..RotationStatus::default() };
        assert!(kept.under_way(Some(&SecretId::new("3")), Some(&recorded)).is_none(), "it was published, and is gone");
        assert!(!format!("{kept:?}").contains("value of"));
    }

    proptest! {
        #[test]
        fn any_annotation_of_a_rotation_can_be_read(texts in prop::collection::vec(".{0,40}", 6)) {
            let (_, keys) = Kept::keys();
            let annotations = keys.iter().map(|key| (*key).to_owned()).zip(texts).collect();
            let _ = Kept::read("uid", &BTreeMap::new(), &annotations);
        }
    }
}
