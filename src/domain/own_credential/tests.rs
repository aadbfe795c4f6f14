use jiff::SignedDuration;

use super::*;
use crate::api::authorization_server::OperatorCredential;
use crate::domain::fixtures::{NOON, secret_info};

const UID: &str = "server-uid";

fn facts<'a>() -> Facts<'a> {
    Facts {
        uid: UID,
        identity: "me",
        request: None,
        answered: None,
        registered: true,
        secrets: Secrets::Several,
        name: "admin",
        immutable: false,
        claim: None,
        record: None,
        has_previous: false,
        held: None,
        listed: None,
        current: None,
        overlap: OVERLAP,
        now: NOON,
    }
}

fn claim() -> Claim {
    let (known, previous) = (vec![SecretId::new("1")], Some(SecretId::new("1")));
    Claim { request: "a".into(), holder: "me".into(), at: NOON, known, previous, seal: String::new() }
}

fn record() -> Record {
    Record {
        request: "a".into(),
        current: SecretId::new("2"),
        previous: Some(SecretId::new("1")),
        unclear: Vec::new(),
        at: NOON,
        retire_at: NOON + SignedDuration::from_hours(1),
        seal: String::new(),
    }
}

fn held() -> Held {
    Held { id: Some(SecretId::new("2")), since: NOON, tried: None, proven: false }
}

/// Secret 1 made by hand, and one of ours for each further id.
fn listed(ours: &[&str]) -> Vec<SecretInfo> {
    let marked = |id: &&str| SecretInfo { created_at: Some(NOON), ..secret_info(id, Some(&marker(UID))) };
    std::iter::once(secret_info("1", None)).chain(ours.iter().map(marked)).collect()
}

fn after(seconds: u64) -> Timestamp {
    later(NOON, Duration::from_secs(seconds))
}

#[test]
fn without_a_request_nothing_is_done_and_the_server_is_not_asked() {
    assert_eq!(decide(&facts()), Step::Rest(None));
    let seen = listed(&[]);
    assert_eq!(decide(&Facts { listed: Some(&seen), ..facts() }), Step::Rest(None));
}

#[test]
fn a_request_is_carried_out_once_and_only_where_the_server_keeps_several_secrets() {
    let asked = Facts { request: Some("a"), ..facts() };
    assert_eq!(decide(&asked), Step::Look);
    let done = record();
    let refused =
        |facts: &Facts<'_>| matches!(decide(facts), Step::Refuse(finding) if finding.reason == Reason::NotSupported);
    let (one, none) = (Facts { secrets: Secrets::One, ..asked.clone() }, Facts { registered: false, ..asked.clone() });
    assert!(refused(&one) && refused(&none) && refused(&Facts { immutable: true, ..asked.clone() }));
    assert_eq!(decide(&Facts { answered: Some("a"), ..one }), Step::Rest(None));
    let settled = Record { previous: None, ..done };
    assert_eq!(
        decide(&Facts { record: Some((&settled, true)), ..asked.clone() }),
        Step::Rest(None),
        "the status was lost"
    );
    assert_eq!(decide(&Facts { record: Some((&settled, true)), request: Some("b"), ..asked }), Step::Look);
}

#[test]
fn a_replacement_is_claimed_with_the_secrets_that_were_there() {
    let (seen, one) = (listed(&[]), SecretId::new("1"));
    let asked = Facts { request: Some("a"), listed: Some(&seen), current: Some(&one), ..facts() };
    assert_eq!(decide(&asked), Step::Claim(claim()));
    let unknown = Facts { current: None, ..asked };
    assert!(matches!(decide(&unknown), Step::Claim(claim) if claim.previous.is_none()));
}

#[test]
fn a_claim_without_a_secret_adds_one_after_the_lost_ones_are_gone() {
    let claim = claim();
    let begun = Facts { claim: Some((&claim, true)), ..facts() };
    assert_eq!(decide(&begun), Step::Look);
    let (clean, lost) = (listed(&[]), listed(&["2"]));
    assert_eq!(decide(&Facts { listed: Some(&clean), ..begun.clone() }), Step::Add);
    assert_eq!(decide(&Facts { listed: Some(&lost), ..begun.clone() }), Step::Drop(Some(SecretId::new("2"))));
    let late = Facts { now: after(60), listed: Some(&lost), ..begun };
    assert!(matches!(decide(&late), Step::Claim(anew) if anew.at == after(60)), "before anything is removed");
}

#[test]
fn another_processs_claim_is_waited_for_and_then_taken_over() {
    let claim = Claim { holder: "other".into(), ..claim() };
    let theirs = Facts { claim: Some((&claim, true)), ..facts() };
    assert_eq!(decide(&theirs), Step::Rest(Some(later(NOON, HOLD))));
    let over = Facts { now: later(NOON, HOLD), ..theirs.clone() };
    assert!(matches!(decide(&over), Step::Claim(anew) if anew.holder == "me" && anew.known == claim.known));
    let held = held();
    assert_eq!(
        decide(&Facts { held: Some(&held), ..theirs }),
        Step::Drop(Some(SecretId::new("2"))),
        "ours was taken over"
    );
    assert!(HOLD > PROOF);
}

#[test]
fn a_secret_is_proven_then_published_and_withdrawn_if_it_never_works() {
    let (claim, held) = (claim(), held());
    let obtained = Facts { claim: Some((&claim, true)), held: Some(&held), ..facts() };
    assert_eq!(decide(&obtained), Step::Prove);
    let tried = Held { tried: Some(after(1)), ..held.clone() };
    let waiting = Facts { held: Some(&tried), now: after(2), ..obtained.clone() };
    assert_eq!(decide(&waiting), Step::Rest(Some(after(3))));
    assert_eq!(decide(&Facts { now: after(3), ..waiting.clone() }), Step::Prove);
    let over = decide(&Facts { now: later(NOON, PROOF), ..waiting });
    assert!(
        matches!(over, Step::Withdraw(Some(id), finding) if id.as_str() == "2" && finding.reason == Reason::ProofFailed)
    );
    let proven = Held { proven: true, ..held.clone() };
    assert_eq!(decide(&Facts { held: Some(&proven), ..obtained }), Step::Publish(record()));
}

#[test]
fn a_secret_that_the_answer_did_not_name_is_named_by_a_read() {
    let (claim, unnamed) = (claim(), Held { id: None, proven: true, ..held() });
    let obtained = Facts { claim: Some((&claim, true)), held: Some(&unnamed), ..facts() };
    assert_eq!(decide(&obtained), Step::Look);
    let (lagging, shown) = (listed(&[]), listed(&["2"]));
    assert_eq!(decide(&Facts { listed: Some(&lagging), ..obtained.clone() }), Step::Rest(Some(after(2))));
    assert_eq!(decide(&Facts { listed: Some(&shown), ..obtained }), Step::Publish(record()));
}

#[test]
fn the_one_before_goes_after_the_overlap_or_when_the_next_is_asked_for() {
    let record = record();
    let overlapping = Facts { record: Some((&record, true)), has_previous: true, ..facts() };
    assert_eq!(decide(&overlapping), Step::Rest(Some(record.retire_at)));
    let retire = Step::Retire(Some(SecretId::new("1")), None);
    assert_eq!(decide(&Facts { now: record.retire_at, ..overlapping.clone() }), retire);
    assert_eq!(decide(&Facts { request: Some("b"), ..overlapping.clone() }), retire);
    assert_eq!(decide(&Facts { request: Some("a"), ..overlapping }), Step::Rest(Some(record.retire_at)), "it is done");
}

#[test]
fn nothing_is_removed_where_the_secret_was_set_back_by_hand() {
    let record = record();
    let seen = listed(&["2", "3"]);
    let old = later(NOON, HOLD.saturating_mul(20));
    let back = Facts { record: Some((&record, false)), has_previous: true, listed: Some(&seen), now: old, ..facts() };
    let step = decide(&back);
    let Step::Retire(None, Some(finding)) = &step else { panic!("{step:?}") };
    assert_eq!(finding.reason, Reason::SecretUnidentified);
    assert!(finding.message.contains("secrets 1, 2"), "{}", finding.message);
    let settled = Record { previous: None, ..record.clone() };
    assert_eq!(decide(&Facts { record: Some((&settled, false)), has_previous: false, ..back }), Step::Rest(None));
}

#[test]
fn a_change_by_hand_in_the_middle_wins_and_takes_back_only_what_is_certainly_unused() {
    let (claim, held) = (claim(), held());
    let changed = Facts { claim: Some((&claim, false)), ..facts() };
    let with_ours = decide(&Facts { held: Some(&held), ..changed.clone() });
    assert!(
        matches!(&with_ours, Step::Withdraw(Some(id), finding) if id.as_str() == "2" && finding.reason == Reason::RotationInterrupted)
    );
    assert_eq!(decide(&changed), Step::Look);
    let seen = listed(&["2"]);
    let step = decide(&Facts { listed: Some(&seen), ..changed });
    assert!(matches!(&step, Step::Withdraw(None, finding) if finding.message.contains("secrets 2 at")), "{step:?}");
}

#[test]
fn a_stray_of_ours_goes_once_no_process_can_be_about_to_publish_it_and_other_secrets_never() {
    let record = Record { previous: None, ..record() };
    let seen = listed(&["2", "3"]);
    let swept = Facts { record: Some((&record, true)), listed: Some(&seen), ..facts() };
    assert_eq!(decide(&swept), Step::Rest(None));
    assert_eq!(decide(&Facts { now: later(NOON, HOLD), ..swept }), Step::Drop(Some(SecretId::new("3"))));
}

#[test]
fn the_secret_in_use_is_known_by_our_record_by_its_value_or_by_being_the_only_one() {
    let (record, seen) = (record(), listed(&["2"]));
    let ours = |id: &'static str| move |secret: &SecretInfo| secret.id.as_str() == id;
    assert_eq!(current(&seen, Some((&record, true)), ours("1")), Some(SecretId::new("2")));
    assert_eq!(current(&seen, Some((&record, false)), ours("1")), Some(SecretId::new("1")));
    assert_eq!(current(&seen, None, ours("none")), None);
    assert_eq!(current(&seen[..1], None, ours("none")), Some(SecretId::new("1")));
}

fn expiring_in(days: i64, created_days_ago: i64) -> Vec<SecretInfo> {
    let day = |days| SignedDuration::from_hours(24 * days);
    vec![SecretInfo {
        created_at: Some(NOON - day(created_days_ago)),
        expires_at: Some(NOON + day(days)),
        ..secret_info("1", None)
    }]
}

fn warning(secrets: &[SecretInfo], current: Option<&SecretId>, change: impl Fn(&mut Facts<'_>)) -> Option<String> {
    let mut facts = Facts { listed: Some(secrets), current, ..facts() };
    change(&mut facts);
    report::expiring(&report::credential(&facts, None)?, &facts)
}

#[test]
fn an_expiry_is_told_thirty_days_ahead_or_in_the_last_third_of_a_short_life() {
    let one = SecretId::new("1");
    for (days, age, told) in
        [(31, 200, false), (30, 200, true), (29, 1, false), (4, 6, false), (3, 6, true), (-1, 9, true)]
    {
        let warned = warning(&expiring_in(days, age), Some(&one), |_| {});
        assert_eq!(warned.is_some(), told, "{days} days left of {}: {warned:?}", days + age);
    }
    assert_eq!(warning(&[secret_info("1", None)], Some(&one), |_| {}), None, "it never expires");
}

#[test]
fn a_warning_says_what_to_do_here() {
    let (one, soon) = (SecretId::new("1"), expiring_in(3, 200));
    let by_itself = warning(&soon, Some(&one), |_| {}).expect("a warning");
    assert!(by_itself.contains("secret 1") && by_itself.contains("extapp.dev/rotate="), "{by_itself}");
    let by_hand = warning(&soon, Some(&one), |facts| facts.secrets = Secrets::One).expect("a warning");
    assert!(by_hand.contains("put it into Secret admin"), "{by_hand}");
    let several: Vec<SecretInfo> = soon.into_iter().chain([secret_info("9", None)]).collect();
    let unclear = warning(&several, None, |_| {}).expect("a warning");
    assert!(unclear.contains("first of the 2 secrets"), "{unclear}");
}

#[test]
fn what_has_expired_says_nothing_of_which_is_in_use() {
    let gone = expiring_in(-1, 9);
    let several: Vec<SecretInfo> = gone.into_iter().chain([secret_info("9", None)]).collect();
    assert_eq!(warning(&several, None, |_| {}), None);
    let facts = Facts { listed: Some(&several), ..facts() };
    let told = report::credential(&facts, None).expect("something is known");
    assert_eq!((told.expires_at, told.candidates), (None, Some(2)));
    assert_eq!(report::credential(&super::tests::facts(), None), None::<OperatorCredential>);
}

#[test]
fn a_long_request_is_kept_by_its_digest() {
    assert_eq!(kept("2026-11-25"), "2026-11-25");
    let long = "x".repeat(1_000);
    assert!(kept(&long).len() < 64 && kept(&long) != kept(&"y".repeat(1_000)));
}

/// A server and a Secret, with one process that may die at any step.
struct Model {
    at_server: Vec<SecretInfo>,
    next: u32,
    value: SecretId,
    previous: Option<SecretId>,
    claim: Option<Claim>,
    record: Option<Record>,
    held: Option<Held>,
    answered: Option<String>,
    now: Timestamp,
    most: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            at_server: listed(&[]),
            next: 2,
            value: SecretId::new("1"),
            previous: None,
            claim: None,
            record: None,
            held: None,
            answered: None,
            now: NOON,
            most: 1,
        }
    }

    fn step(&self, request: &str, look: bool) -> Step {
        let record = self.record.as_ref().map(|record| (record, record.current == self.value));
        let current = current(&self.at_server, record, |_| false);
        decide(&Facts {
            request: Some(request),
            answered: self.answered.as_deref(),
            claim: self.claim.as_ref().map(|claim| (claim, true)),
            record,
            has_previous: self.previous.is_some(),
            held: self.held.as_ref(),
            listed: look.then_some(self.at_server.as_slice()),
            current: current.as_ref(),
            now: self.now,
            ..facts()
        })
    }

    fn remove(&mut self, id: Option<&SecretId>) {
        self.at_server.retain(|secret| Some(&secret.id) != id);
        assert!(self.at_server.iter().any(|secret| secret.id == self.value), "the operator locked itself out");
    }

    /// Carries a step out; gives back whether there was anything to do.
    fn act(&mut self, step: Step) -> bool {
        match step {
            Step::Rest(None) => return false,
            Step::Rest(Some(until)) => self.now = until.max(self.now),
            Step::Look | Step::Refuse(_) => unreachable!("the model was looked at, and refuses nothing"),
            Step::Claim(claim) => self.claim = Some(claim),
            Step::Add => {
                let id = self.next.to_string();
                self.next += 1;
                let made = SecretInfo { created_at: Some(self.now), ..secret_info(&id, Some(&marker(UID))) };
                self.held = Some(Held { id: Some(made.id.clone()), since: self.now, ..held() });
                self.at_server.push(made);
            }
            Step::Prove => self.held.as_mut().expect("a secret").proven = true,
            Step::Publish(record) => {
                self.previous = Some(std::mem::replace(&mut self.value, record.current.clone()));
                (self.record, self.claim, self.held) = (Some(record), None, None);
            }
            Step::Withdraw(id, _) => {
                self.answered = self.claim.take().map(|claim| claim.request);
                self.held = None;
                self.remove(id.as_ref());
            }
            Step::Drop(id) => {
                self.held = None;
                self.remove(id.as_ref());
            }
            Step::Retire(id, _) => {
                self.remove(id.as_ref());
                self.previous = None;
                self.record.as_mut().expect("a record").previous = None;
            }
        }
        self.most = self.most.max(self.at_server.len());
        true
    }

    fn run(&mut self, request: &str, dies_after: &[usize]) {
        for number in 0..60 {
            let step = self.step(request, true);
            if !self.act(step) {
                return;
            }
            if dies_after.contains(&number) {
                self.held = None;
            }
        }
        panic!("it never comes to rest");
    }
}

#[test]
fn wherever_the_process_dies_one_secret_is_left_and_it_is_the_one_in_use() {
    for first in 0..12 {
        for second in first..14 {
            let mut model = Model::new();
            model.run("a", &[first, second]);
            let ids: Vec<&SecretId> = model.at_server.iter().map(|secret| &secret.id).collect();
            assert_eq!(ids, [&model.value], "died after {first} and {second}");
            assert_ne!(model.value.as_str(), "1");
            assert!(model.most <= 2, "at most one more than there was");
            model.run("b", &[first]);
            assert_eq!(model.at_server.len(), 1);
        }
    }
}
