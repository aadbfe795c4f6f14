//! Registering exactly once, against a server whose create is not idempotent and whose names are not unique.
//!
//! An intent is written into the application's annotations before the create is sent, and is settled once the status
//! names the registration that it led to. An unsettled one means that the outcome of a create is unknown: then the
//! registration is looked for, and taken over only where it is proven to be ours.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::registration::{ClientId, ClientType, Desired, Grant, Listed, Mark, Registered};

/// How long a server's own reads may lag behind its writes (facts: several seconds were seen; this is the bound after
/// which "not there" is believed).
pub const READ_LAG: Duration = Duration::from_secs(20);

/// A create is sent within this time after its intent was written, or not at all.
pub const SENT_WITHIN: Duration = Duration::from_secs(5);

/// How long the sending of a create may take, tokens and repetitions included.
pub const CREATE: Duration = Duration::from_secs(15);

/// How long after an intent its create may still show at the server: sent, answered, and seen by reads.
pub const SHOWN_AFTER: Duration = Duration::from_secs(40);

/// How long an intent belongs to the operator process that wrote it, before another one may settle it. Longer than any
/// pass, so that its writer is no longer at work then.
pub const HOLD: Duration = Duration::from_secs(45);

/// What the operator was about to create. Serialised as JSON into the annotation `extapp.dev/pending`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The name of the registration.
    pub name: String,
    /// Digest over type, redirect URIs and scopes, so that a later edit of the spec does not hide what was asked for.
    pub digest: String,
    /// The registrations that carried the name before, sorted. None of them is ours.
    #[serde(default)]
    pub known: Vec<ClientId>,
    /// The registration that this one replaces because it was deleted at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ClientId>,
    /// Which operator process is at work.
    pub holder: String,
    pub at: Timestamp,
    /// Proof that the operator wrote this, made with its own credentials: whoever may edit an application may write
    /// annotations too, and an intent decides which registration is taken over.
    #[serde(default)]
    pub seal: String,
}

impl Intent {
    /// Read from the annotation; `None` where it is not one of ours.
    pub fn parse(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }

    /// What the seal is made over: everything else, for this application alone.
    pub fn sealed_text(&self, uid: &str) -> String {
        let known: Vec<&str> = self.known.iter().map(ClientId::as_str).collect();
        let replaces = self.replaces.as_ref().map(ClientId::as_str);
        serde_json::json!([uid, self.name, self.digest, known, replaces, self.holder, self.at]).to_string()
    }

    /// Whether the outcome is still unknown, given the client id that the status names.
    pub fn is_unsettled(&self, status_client_id: Option<&ClientId>) -> bool {
        match status_client_id {
            None => true,
            Some(id) => self.replaces.as_ref() == Some(id),
        }
    }
}

/// A digest of all that identifies a wanted registration beside its name.
pub fn digest(desired: &Desired) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    part(match desired.client_type {
        ClientType::Confidential => "confidential",
        ClientType::NonConfidential => "non-confidential",
    });
    desired.redirect_uris.iter().for_each(|uri| part(uri));
    for scope in &desired.scopes {
        part(match scope.grant {
            Grant::User => "user",
            Grant::Application => "application",
        });
        part(&scope.name);
    }
    super::hex(&hash.finalize()[..16])
}

/// What was found when looking for the outcome of an unsettled intent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The [`newcomers`], read in full.
    pub candidates: Vec<Registered>,
    /// The other applications with an unsettled intent of the same name and digest.
    pub twins: Twins,
    /// The registrations that carry the name which the spec asks for now: it may have been edited since.
    pub namesakes: Vec<ClientId>,
    /// Since when searches have found nothing, where they have.
    pub empty_since: Option<Timestamp>,
    /// Whether the intent's seal is not the operator's: then it proves nothing.
    pub unproven: bool,
    /// Whether the server does not list what it has, so that not to find a registration says nothing.
    pub blind: bool,
}

/// Applications whose registrations cannot be told apart from ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    pub count: usize,
    /// How many of them come before us, by UID.
    pub before: usize,
    /// When the latest of their intents was written.
    pub latest: Option<Timestamp>,
}

/// How an unsettled intent ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// This registration is ours.
    TakeOver(ClientId),
    /// The create never happened: it may be sent, with a new intent.
    NothingHappened,
    /// Too early to tell.
    Wait(Duration),
    /// It cannot be proven which of these is ours.
    Ambiguous(Vec<ClientId>),
    /// There may be one, and the server cannot be asked.
    Unknowable,
}

/// The rows of a list that an intent could have led to. Where registrations say whose they are, those of the application
/// with this UID; elsewhere those of the intent's name.
pub fn newcomers<'a>(
    intent: &'a Intent,
    uid: &'a str,
    list: &'a [Listed],
    claimed: &'a (dyn Fn(&ClientId) -> bool + Sync),
) -> impl Iterator<Item = &'a Listed> {
    list.iter().filter(move |row| {
        let could_be_ours = match &row.owner {
            Mark::Unsupported => row.display_name == intent.name && !intent.known.contains(&row.client_id),
            marked => marked.names(uid),
        };
        could_be_ours && intent.replaces.as_ref() != Some(&row.client_id) && !claimed(&row.client_id)
    })
}

/// Whether this process may settle the intent now, or how long it must leave it to its writer.
pub fn hold(intent: &Intent, identity: &str, now: Timestamp) -> Option<Duration> {
    if intent.holder == identity { None } else { remaining(intent.at, HOLD, now) }
}

/// Decides what became of an intent. Other registrations of the same name are never touched: either exactly one new and
/// unclaimed registration is what we asked for, or a person must decide. Twins that asked for the very same thing share
/// out what is there, each by its place among them, since their registrations cannot be told apart and none has been
/// published.
pub fn settle(intent: &Intent, search: &Search, now: Timestamp) -> Settlement {
    // A mark is proof: only who administers the server can set it.
    let marked = |candidate: &&Registered| matches!(candidate.owner, Mark::Uid(_));
    if let [ours] = search.candidates.iter().filter(marked).collect::<Vec<_>>()[..] {
        return Settlement::TakeOver(ours.client_id.clone());
    }
    let digest_of = |candidate: &Registered| digest(&candidate.as_desired());
    let mut exact: Vec<&ClientId> = search
        .candidates
        .iter()
        .filter(|candidate| digest_of(candidate) == intent.digest)
        .map(|candidate| &candidate.client_id)
        .collect();
    exact.sort();
    if search.candidates.is_empty() {
        return nothing_found(intent, search, now);
    }
    if search.unproven || exact.is_empty() || exact.len() > search.twins.count + 1 {
        let mut ids: Vec<ClientId> = search.candidates.iter().map(|candidate| candidate.client_id.clone()).collect();
        ids.sort();
        return Settlement::Ambiguous(ids);
    }
    // The create of a twin may still be under way, and what is there may be its.
    if let Some(left) = search.twins.latest.and_then(|latest| remaining(latest, SHOWN_AFTER, now)) {
        return Settlement::Wait(left);
    }
    match exact.get(search.twins.before) {
        Some(ours) => Settlement::TakeOver((*ours).clone()),
        // What is there belongs to those before us, whether or not they come to take it.
        None => remaining(intent.at, SHOWN_AFTER + READ_LAG, now).map_or(Settlement::NothingHappened, Settlement::Wait),
    }
}

/// Nothing is believed to have happened only when the create can no longer be under way, and when the server has been
/// answering for as long as its reads may lag: one that was frozen may still have the request before it.
fn nothing_found(intent: &Intent, search: &Search, now: Timestamp) -> Settlement {
    let answering = search.empty_since.map_or(Some(READ_LAG), |since| remaining(since, READ_LAG, now));
    match remaining(intent.at, SHOWN_AFTER, now).max(answering) {
        Some(left) => Settlement::Wait(left),
        None if search.blind => Settlement::Unknowable,
        None => Settlement::NothingHappened,
    }
}

fn remaining(since: Timestamp, span: Duration, now: Timestamp) -> Option<Duration> {
    let end =
        since.saturating_add(SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
    Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{NOON, desired, registered};

    fn intent() -> Intent {
        Intent {
            name: "Invoice sync".into(),
            digest: digest(&desired()),
            known: vec![ClientId::new("id-7")],
            replaces: None,
            holder: "me".into(),
            at: NOON,
            seal: String::new(),
        }
    }

    fn late() -> Timestamp {
        NOON + SignedDuration::from_secs(60)
    }

    fn search(ids: &[&str]) -> Search {
        Search { candidates: ids.iter().map(|id| registered(id)).collect(), ..Search::default() }
    }

    #[test]
    fn the_one_new_registration_that_is_as_asked_for_is_ours() {
        assert_eq!(settle(&intent(), &search(&["id-9"]), NOON), Settlement::TakeOver(ClientId::new("id-9")));
    }

    #[test]
    fn nothing_new_is_believed_only_after_the_create_is_over_and_the_servers_reads_have_caught_up() {
        assert_eq!(settle(&intent(), &search(&[]), NOON), Settlement::Wait(SHOWN_AFTER));
        let empty = |since| Search { empty_since: Some(since), ..Search::default() };
        assert_eq!(settle(&intent(), &empty(NOON), late()), Settlement::NothingHappened);
        // The server was frozen, and has only just begun to answer.
        assert_eq!(settle(&intent(), &empty(late()), late()), Settlement::Wait(READ_LAG));
        assert_eq!(settle(&intent(), &search(&[]), late()), Settlement::Wait(READ_LAG));
    }

    #[test]
    fn an_intent_that_the_operator_did_not_write_proves_nothing() {
        let forged = Search { unproven: true, ..search(&["id-9"]) };
        assert_eq!(settle(&intent(), &forged, late()), Settlement::Ambiguous(vec![ClientId::new("id-9")]));
    }

    #[test]
    fn the_seal_is_over_everything_and_for_one_application() {
        let text = intent().sealed_text("uid");
        assert_ne!(text, intent().sealed_text("other"));
        let changes: [fn(&mut Intent); 6] = [
            |intent| intent.name.push('x'),
            |intent| intent.digest.push('x'),
            |intent| intent.known.clear(),
            |intent| intent.replaces = Some(ClientId::new("id-1")),
            |intent| intent.holder.push('x'),
            |intent| intent.at = late(),
        ];
        for change in changes {
            let mut other = intent();
            change(&mut other);
            assert_ne!(other.sealed_text("uid"), text, "{other:?}");
        }
        let sealed = Intent { seal: "seal".into(), ..intent() };
        assert_eq!(sealed.sealed_text("uid"), text);
    }

    #[test]
    fn two_that_look_like_ours_are_left_to_a_person() {
        assert_eq!(
            settle(&intent(), &search(&["id-9", "id-8"]), late()),
            Settlement::Ambiguous(vec![ClientId::new("id-8"), ClientId::new("id-9")])
        );
    }

    #[test]
    fn a_new_one_of_our_name_but_with_other_scopes_is_never_taken_over() {
        let mut other = registered("id-9");
        other.scopes.clear();
        let search = Search { candidates: vec![other], ..Search::default() };
        assert_eq!(settle(&intent(), &search, late()), Settlement::Ambiguous(vec![ClientId::new("id-9")]));
    }

    #[test]
    fn twins_that_crashed_together_share_out_what_they_made_each_by_its_place() {
        let share = |before, ids: &[&str]| {
            let twins = Twins { count: 1, before, latest: Some(NOON) };
            let search = Search { twins, ..search(ids) };
            settle(&intent(), &search, late())
        };
        assert_eq!(share(0, &["id-9", "id-8"]), Settlement::TakeOver(ClientId::new("id-8")));
        assert_eq!(share(1, &["id-9", "id-8"]), Settlement::TakeOver(ClientId::new("id-9")));
        // Only one of two creates was executed: it is the first one's.
        assert_eq!(share(0, &["id-8"]), Settlement::TakeOver(ClientId::new("id-8")));
        assert_eq!(share(1, &["id-8"]), Settlement::NothingHappened);
        assert!(matches!(share(0, &["id-7a", "id-8", "id-9"]), Settlement::Ambiguous(_)), "one is somebody else's");
    }

    #[test]
    fn what_a_twin_may_have_under_way_is_waited_for() {
        let twins = Twins { count: 1, before: 0, latest: Some(late()) };
        let search = Search { twins, ..search(&["id-9"]) };
        assert_eq!(settle(&intent(), &search, late()), Settlement::Wait(SHOWN_AFTER));
    }

    #[test]
    fn a_registration_that_says_whose_it_is_is_ours_whatever_became_of_it() {
        let mut edited = registered("id-9");
        (edited.display_name, edited.owner) = ("Else".into(), Mark::Uid("app-uid".into()));
        let (foreign, unmarked) = (
            Registered { owner: Mark::Uid("another".into()), ..registered("id-8") },
            Registered { owner: Mark::Absent, ..registered("id-6") },
        );
        let list: Vec<Listed> = [&edited, &foreign, &unmarked].map(Registered::as_listed).into();
        let intent = intent();
        let found: Vec<&Listed> = newcomers(&intent, "app-uid", &list, &|_| false).collect();
        assert_eq!(found, [&list[0]], "never one of our name that is not marked as ours");
        let search = Search { candidates: vec![edited], unproven: true, ..Search::default() };
        assert_eq!(settle(&intent, &search, NOON), Settlement::TakeOver(ClientId::new("id-9")));
    }

    #[test]
    fn where_the_server_does_not_list_what_it_has_nothing_found_is_no_proof() {
        let search = Search { blind: true, empty_since: Some(NOON), ..Search::default() };
        assert_eq!(settle(&intent(), &search, NOON), Settlement::Wait(SHOWN_AFTER));
        assert_eq!(settle(&intent(), &search, late()), Settlement::Unknowable);
    }

    #[test]
    fn known_replaced_and_claimed_registrations_are_no_newcomers() {
        let mut intent = intent();
        intent.replaces = Some(ClientId::new("id-1"));
        let list: Vec<Listed> = ["id-1", "id-7", "id-8", "id-9"].map(|id| registered(id).as_listed()).into();
        let claimed = |id: &ClientId| id.as_str() == "id-8";
        let found: Vec<&str> =
            newcomers(&intent, "app-uid", &list, &claimed).map(|row| row.client_id.as_str()).collect();
        assert_eq!(found, ["id-9"]);
    }

    #[test]
    fn another_process_leaves_an_intent_alone_while_its_writer_may_be_at_work() {
        assert_eq!(hold(&intent(), "me", NOON), None);
        assert_eq!(hold(&intent(), "other", NOON), Some(HOLD));
        assert_eq!(hold(&intent(), "other", late()), None);
    }

    #[test]
    fn an_intent_is_settled_by_the_client_id_that_it_led_to() {
        let mut intent = intent();
        assert!(intent.is_unsettled(None));
        assert!(!intent.is_unsettled(Some(&ClientId::new("id-9"))));
        intent.replaces = Some(ClientId::new("id-1"));
        assert!(intent.is_unsettled(Some(&ClientId::new("id-1"))));
        assert!(!intent.is_unsettled(Some(&ClientId::new("id-9"))));
    }

    #[test]
    fn the_digest_tells_every_part_apart() {
        let base = digest(&desired());
        let mut other = desired();
        other.display_name = "another name".into();
        assert_eq!(digest(&other), base, "the name is kept beside the digest");
        let mut other = desired();
        other.redirect_uris.insert("https://x.example/".into());
        assert_ne!(digest(&other), base);
        let mut other = desired();
        other.scopes = other
            .scopes
            .into_iter()
            .map(|mut scope| {
                scope.grant = Grant::User;
                scope
            })
            .collect();
        assert_ne!(digest(&other), base);
    }
}
