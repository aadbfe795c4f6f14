use super::*;
use crate::domain::fixtures::{NOON, app, settled};

const OVERLAP: Duration = Duration::from_hours(24);

fn trust(name: &str) -> Trust {
    Trust {
        name: name.into(),
        issuer: "https://issuer.example".into(),
        audience: "cloud".into(),
        subject: format!("subject of {name}"),
    }
}

fn known(id: &str, name: &str) -> Federated {
    Federated { id: id.into(), trust: trust(name) }
}

/// A settled application that lists these, and whose status says this of its credentials.
fn listing(names: &[&str], credentials: Vec<CredentialStatus>) -> ExternalApplication {
    let mut app = settled(app(), "id", "1");
    let item = |name: &&str| {
        let trust = trust(name);
        serde_json::json!({"name": name, "issuer": trust.issuer, "audience": trust.audience, "subject": trust.subject})
    };
    let list: Vec<_> = names.iter().map(item).collect();
    app.spec.federated_credentials = serde_json::from_value(list.into()).expect("a list");
    app.status.as_mut().expect("a status").credentials = credentials;
    app
}

fn secret(state: CredentialState) -> CredentialStatus {
    CredentialStatus { kind: CredentialKind::Secret, name: None, ..entry("1", "", state) }
}

fn active(id: &str, name: &str) -> CredentialStatus {
    entry(id, name, CredentialState::Active)
}

fn left(known: &[Federated]) -> Left {
    Left { known: Some(known.to_vec()), lost: None }
}

fn old(app: &ExternalApplication) -> &[CredentialStatus] {
    credentials(app)
}

fn trusts(names: &[&str]) -> Vec<Trust> {
    names.iter().map(|name| trust(name)).collect()
}

fn removals(changes: &[Change]) -> Vec<&str> {
    changes
        .iter()
        .filter_map(|change| if let Change::Remove { credential } = change { Some(credential.as_str()) } else { None })
        .collect()
}

#[test]
fn what_was_added_is_active_from_now_on_and_what_was_there_keeps_its_age() {
    let before = CredentialStatus { created_at: Some(whole(NOON)), ..active("1", "a") };
    let app = listing(&["a", "b"], vec![before.clone()]);
    let later = NOON + SignedDuration::from_hours(1);
    let mut left = left(&[known("1", "a")]);
    left.did(&Change::Add(trust("b")), Some(known("2", "b")));
    let list = after(&app, old(&app), &trusts(&["a", "b"]), &left, OVERLAP, later);
    assert_eq!(list, [before, CredentialStatus { created_at: Some(whole(later)), ..active("2", "b") }]);
    let told = listing(&["a", "b"], list.clone());
    let much_later = later + SignedDuration::from_hours(1);
    assert_eq!(after(&told, &list, &trusts(&["a", "b"]), &left, OVERLAP, much_later), list, "nothing moves");
}

#[test]
fn what_nobody_looked_at_stays_as_it_was_told() {
    let app = listing(&["a"], vec![secret(CredentialState::Active), active("1", "a")]);
    assert_eq!(after(&app, old(&app), &trusts(&["a"]), &Left::default(), OVERLAP, NOON), [active("1", "a")]);
}

#[test]
fn what_the_spec_lists_no_longer_goes_at_once() {
    let app = listing(&["b"], vec![active("1", "a"), active("2", "b")]);
    let servers = [known("1", "a"), known("2", "b")];
    assert_eq!(removals(&changes(&app, &trusts(&["b"]), "id", &servers, 20, NOON)), ["1"]);
    let none = listing(&[], vec![secret(CredentialState::Active), active("1", "a")]);
    assert_eq!(removals(&changes(&none, &[], "id", &servers[..1], 20, NOON)), ["1"], "there has been a secret before");
}

#[test]
fn what_gives_way_to_a_secret_stays_until_the_secret_has_reached_everybody() {
    let app = listing(&[], vec![active("1", "a")]);
    let servers = [known("1", "a")];
    assert_eq!(changes(&app, &[], "id", &servers, 20, NOON), []);
    for seen in [left(&servers), Left::default()] {
        let list = after(&app, old(&app), &[], &seen, OVERLAP, NOON);
        let end = NOON + SignedDuration::try_from(OVERLAP).expect("fits");
        assert_eq!((list[0].state, &list[0].expires_at), (CredentialState::Retiring, &Some(whole(end))));
        let told = listing(&[], [vec![secret(CredentialState::Active)], list.clone()].concat());
        let just_before = end - SignedDuration::from_secs(1);
        assert_eq!(changes(&told, &[], "id", &servers, 20, just_before), []);
        assert_eq!(after(&told, old(&told), &[], &seen, OVERLAP, just_before), list, "its end does not move");
        assert_eq!(removals(&changes(&told, &[], "id", &servers, 20, end)), ["1"]);
    }
}

#[test]
fn one_on_its_way_out_that_is_listed_again_stays() {
    let retiring = CredentialStatus { expires_at: Some(whole(NOON)), ..entry("1", "a", CredentialState::Retiring) };
    let app = listing(&["a"], vec![retiring]);
    let servers = [known("1", "a")];
    assert_eq!(changes(&app, &trusts(&["a"]), "id", &servers, 20, NOON), []);
    let list = after(&app, old(&app), &trusts(&["a"]), &left(&servers), OVERLAP, NOON);
    assert_eq!((list[0].state, &list[0].expires_at), (CredentialState::Active, &None));
}

#[test]
fn the_list_is_the_whole_truth_of_a_registration_that_the_status_names_and_of_no_other() {
    let servers = [known("1", "a"), known("9", "foreign")];
    let app = listing(&["a"], vec![active("1", "a")]);
    assert_eq!(removals(&changes(&app, &trusts(&["a"]), "id", &servers, 20, NOON)), ["9"]);
    assert_eq!(changes(&app, &trusts(&["a"]), "just adopted", &servers, 20, NOON), []);
    let none = listing(&[], vec![secret(CredentialState::Active)]);
    assert_eq!(changes(&none, &[], "id", &servers, 20, NOON), [], "no list says nothing");
}

#[test]
fn after_a_lost_answer_nothing_is_added_before_the_server_has_shown_what_there_is() {
    let app = listing(&["a"], Vec::new());
    let seen = Left { known: Some(Vec::new()), lost: Some("a".into()) };
    let list = after(&app, old(&app), &trusts(&["a"]), &seen, OVERLAP, NOON);
    assert_eq!((list[0].state, list[0].name.as_deref()), (CredentialState::Pending, Some("a")));
    let told = listing(&["a"], list.clone());
    let again = after(&told, &list, &trusts(&["a"]), &left(&[]), OVERLAP, NOON);
    assert_eq!(again, list, "it is waited for");
    let end = NOON + SignedDuration::try_from(READ_LAG).expect("fits");
    assert_eq!(lost(&told, &[], NOON), Some(end));
    assert_eq!(lost(&told, &[], end), None);
    assert_eq!(lost(&told, &[known("7", "a")], NOON), None, "there it is");
    let found = after(&told, old(&told), &trusts(&["a"]), &left(&[known("7", "a")]), OVERLAP, NOON);
    assert_eq!((found.len(), found[0].id.as_str(), found[0].state), (1, "7", CredentialState::Active));
    let dropped = listing(&[], old(&told).to_vec());
    assert_eq!(
        removals(&changes(&dropped, &[], "id", &[known("7", "a")], 20, NOON)),
        ["7"],
        "nobody lists it any more"
    );
}

#[test]
fn what_was_just_added_is_not_added_again_because_a_read_lags() {
    let added = CredentialStatus { created_at: Some(whole(NOON)), ..active("1", "a") };
    let app = listing(&["a"], vec![added]);
    assert_eq!(changes(&app, &trusts(&["a"]), "id", &[], 20, NOON), []);
    let later = NOON + SignedDuration::try_from(READ_LAG).expect("fits");
    assert_eq!(changes(&app, &trusts(&["a"]), "id", &[], 20, later), [Change::Add(trust("a"))], "it is gone");
}

#[test]
fn only_who_lists_some_or_still_has_some_is_looked_at() {
    assert!(federates(&listing(&["a"], Vec::new())));
    assert!(federates(&listing(&[], vec![active("1", "a")])));
    assert!(!federates(&listing(&[], vec![secret(CredentialState::Active)])));
}

#[test]
fn who_only_watches_is_told_what_differs() {
    assert_eq!(difference(&trusts(&["a"]), &[known("1", "a")]), None);
    let found = difference(&trusts(&["a"]), &[known("1", "b")]).expect("a difference");
    assert_eq!(found.desired, "a: subject of a for cloud of https://issuer.example");
    assert!(found.actual.starts_with("b: "), "{}", found.actual);
}
