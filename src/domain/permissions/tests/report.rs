//! What is said of an assignment.

use super::*;

#[test]
fn under_observe_the_difference_is_shown_and_the_object_is_ready() {
    let mut object = assignment("a", &["Auditor"], &[("Shared", &["Queue Reader"])]);
    object.spec.management = Some(Management::Observe);
    let world = World::new().with("me", &["Auditor"], &[(10, &["Queue Writer"])]);
    let assessment = world.assess(&object, &[]);
    let status = status(&object, &Outcome::Done(Box::new(assessment)), NOON).expect("a status");
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind).expect(kind);
    assert_eq!((condition("Ready").status.as_str(), condition("Ready").reason.as_str()), ("True", "Observed"));
    assert_eq!(condition("Drifted").message, "Shared: Queue Reader missing, Queue Writer not listed");
    assert_eq!(status.folders[0].state, FolderState::Differs);
    assert_eq!(status.folders[0].roles, ["Queue Writer"]);
}

#[test]
fn an_application_that_cannot_ask_for_role_based_tokens_is_told_so() {
    let object = assignment("a", &["Auditor"], &[]);
    let world = World::new().with("me", &["Auditor"], &[]);
    let status = status(&object, &Outcome::Done(Box::new(world.assess(&object, &[]))), NOON).expect("a status");
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("Ready");
    assert!(ready.status == "True" && ready.message.contains("OR.Default"), "{}", ready.message);
}

#[test]
fn a_status_that_says_so_already_is_not_written_again() {
    let mut object = recorded(assignment("a", &["Auditor"], &[("Shared", &["Auditor"])]), "me", &[("Shared", 10)]);
    let world = World::new().with("me", &["Auditor"], &[(10, &["Auditor"])]);
    object.status = status(&object, &Outcome::Done(Box::new(world.assess(&object, &[]))), NOON);
    assert!(was_settled(&object, &ClientId::new(CLIENT)));
    let later = NOON + jiff::SignedDuration::from_secs(600);
    assert_eq!(status(&object, &Outcome::Done(Box::new(world.assess(&object, &[]))), later), None);
}

#[test]
fn before_roles_are_assigned_the_record_names_them_and_what_was_recorded_before() {
    let object = recorded(assignment("a", &["Auditor"], &[("Shared", &["Auditor"])]), "me", &[("Shared/People", 12)]);
    let world = World::new().with("me", &["Auditor"], &[(12, &["Auditor"])]);
    let begun = status(&object, &Outcome::Begun(Box::new(world.assess(&object, &[]))), NOON).expect("a status");
    let mut after = object;
    after.status = Some(begun);
    assert_eq!(Record::of(&after).folders, [("Shared".into(), FolderId(10)), ("Shared/People".into(), FolderId(12))]);
    assert!(!was_settled(&after, &ClientId::new(CLIENT)));
}
