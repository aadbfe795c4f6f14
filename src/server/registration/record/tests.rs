use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::domain::fixtures::{NOON, desired};

fn issuer() -> Url {
    Url::parse("https://login.example.com").expect("a URL")
}

fn body() -> Value {
    json!({
        "client_id": "c-1", "client_secret": "s3cret-one", "client_secret_expires_at": 0,
        "registration_access_token": "t0ken-one", "registration_client_uri": "https://login.example.com/reg/c-1",
        "client_name": "Invoice sync", "grant_types": ["client_credentials"], "scope": "OR.Queues"
    })
}

fn answer(body: &Value) -> ClientAnswer {
    ClientAnswer::read(body.clone()).expect("an answer")
}

fn created() -> Record {
    Record::created(answer(&body()), &desired(), &issuer(), NOON)
}

fn after(record: &Record, changes: &[(&str, Value)], of: Of) -> Record {
    let mut body = body();
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    record.answered(answer(&body), of, &issuer(), NOON + SignedDuration::from_secs(5))
}

fn kept(record: &Record) -> BTreeMap<String, SecretString> {
    record.to_data().into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[test]
fn what_is_kept_comes_back_the_same_and_credentials_have_keys_of_their_own() {
    let record = created().about_to_change(NOON);
    let data = kept(&record);
    assert_eq!(data[TOKEN].expose_secret(), "t0ken-one");
    assert_eq!(data[SECRET].expose_secret(), "s3cret-one");
    let document = data[DOCUMENT].expose_secret();
    assert!(!document.contains("t0ken") && !document.contains("s3cret"), "{document}");
    let back = Record::from_data(&data).expect("a record");
    assert!(!back.is_news(&record) && back.is_updating());
    assert_eq!(back.registered(), record.registered());
    assert!(Record::from_data(&BTreeMap::new()).is_none());
}

#[test]
fn a_record_shows_no_credentials() {
    let shown = format!("{:?}", created());
    assert!(!shown.contains("t0ken") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_registration_is_its_owners_and_has_the_secret_itself() {
    let registered = created().registered();
    assert!(registered.owner.names("app-uid"));
    assert_eq!(registered.secrets.len(), 1);
    assert_eq!(registered.secrets[0].value.as_ref().expect("a value").expose(), "s3cret-one");
    assert_eq!(registered.secrets[0].expires_at, None);
}

#[test]
fn a_read_that_tells_nothing_new_is_no_reason_to_write() {
    let record = created();
    assert!(!after(&record, &[], Of::Read).is_news(&record));
    let renamed = after(&record, &[("client_name", json!("Else"))], Of::Read);
    assert!(!renamed.is_news(&record), "the next read tells it again");
    assert_eq!(renamed.registered().display_name, "Else");
    for (name, value) in [("registration_access_token", "t0ken-two"), ("client_secret", "s3cret-two")] {
        assert!(after(&record, &[(name, json!(value))], Of::Read).is_news(&record), "{name}");
    }
}

#[test]
fn what_a_server_does_not_repeat_stays() {
    let record = created();
    let silent = json!({"client_id": "c-1", "client_name": "Invoice sync"});
    let next = record.answered(answer(&silent), Of::Update, &issuer(), NOON);
    assert!(next.same_token(&record) && next.access().is_some());
    assert_eq!(next.registered().secrets, record.registered().secrets);
}

#[test]
fn a_new_secret_is_another_one_and_the_same_one_is_not() {
    let record = created();
    let replaced = after(&record, &[("client_secret", json!("s3cret-two"))], Of::Update);
    assert_ne!(replaced.registered().secrets[0].id, record.registered().secrets[0].id);
    assert!(replaced.has_other_secret(&record));
    assert_eq!(replaced.credential(true).expect("a secret").secret.expose(), "s3cret-two");
    assert!(!after(&record, &[], Of::Update).has_other_secret(&record));
    let other =
        Record::created(answer(&json!({"client_id": "c-2", "client_secret": "x"})), &desired(), &issuer(), NOON);
    assert_ne!(other.registered().secrets[0].id, record.registered().secrets[0].id, "of another registration");
}

#[test]
fn a_servers_habits_are_learnt_from_its_answers() {
    let record = created();
    assert!(record.is_readable_at_will());
    let read = after(&record, &[("registration_access_token", json!("t0ken-two"))], Of::Read);
    assert!(!read.is_readable_at_will(), "a sweep must not read it");
    let again = read.answered(answer(&body()), Of::Read, &issuer(), NOON);
    assert!(!again.is_readable_at_will());
    assert_eq!(after(&record, &[], Of::Update).habits().updates_rotate, Some(false));
    let updated = after(&record, &[("registration_access_token", json!("t0ken-two"))], Of::Update);
    assert_eq!(updated.habits().updates_rotate, Some(true));
    assert_eq!(updated.habits().updates_renew, Some(false));
}

#[test]
fn more_time_for_the_same_secret_is_a_renewal() {
    let ending = |end: i64| ("client_secret_expires_at", json!(NOON.as_second() + end));
    let record = after(&created(), &[ending(60)], Of::Update);
    assert!(record.registered().secrets[0].expires_at.is_some());
    let renewed = after(&record, &[ending(600)], Of::Update);
    assert_eq!(renewed.habits().updates_renew, Some(true));
    assert!(renewed.has_other_secret(&record));
    assert_eq!(after(&record, &[ending(60)], Of::Update).habits().updates_renew, Some(false));
}

#[test]
fn an_update_of_unknown_outcome_is_over_when_the_token_still_serves_after_a_while() {
    let noted = created().about_to_change(NOON);
    let read = |seconds: i64| {
        noted.answered(answer(&body()), Of::Read, &issuer(), NOON + SignedDuration::from_secs(seconds)).is_updating()
    };
    assert!(read(5), "it may still come through");
    assert!(!read(61));
    assert!(!after(&noted, &[], Of::Update).is_updating());
}

#[test]
fn a_token_is_not_sent_elsewhere() {
    let mut elsewhere = body();
    elsewhere["registration_client_uri"] = json!("https://evil.example/reg/c-1");
    let record = Record::created(answer(&elsewhere), &desired(), &issuer(), NOON);
    assert!(record.access().is_none());
    let moved = created().answered(answer(&elsewhere), Of::Read, &issuer(), NOON);
    assert_eq!(moved.access().expect("the old one").0.as_str(), "https://login.example.com/reg/c-1");
}
