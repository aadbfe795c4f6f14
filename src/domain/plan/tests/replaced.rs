//! Secrets that are made in place of the published one, where nothing is kept for it.

use super::super::world::{Cut, Keeping, World};
use super::*;
use crate::api::REVOKE_NOW;

fn said_of(world: &World) -> (Option<String>, Option<(String, String)>) {
    let status = world.app.status.clone().unwrap_or_default();
    let rotated = status.conditions.iter().find(|condition| condition.type_ == "Rotated");
    let rotated = rotated.map(|rotated| (rotated.status.clone(), rotated.reason.clone()));
    (status.rotation.and_then(|rotation| rotation.revoke_now), rotated)
}

fn secrets(world: &World) -> Vec<SecretId> {
    let secrets = world.registrations.values().flat_map(|registration| &registration.actual.secrets);
    secrets.map(|secret| secret.id.clone()).collect()
}

#[test]
fn where_there_is_room_for_one_secret_none_is_said_to_be_replaced_before_the_next_is_published() {
    let mut world = World::new(app(), Keeping::One);
    world.pass(None).expect("a registration");
    world.wait(60);
    world.ask(REVOKE_NOW);
    for _ in 0..2 {
        let _ = world.pass(Some((usize::from(world.authenticates()), Cut::Failure)));
        assert!(!world.authenticates(), "nothing could be written");
        assert_eq!(said_of(&world), (None, Some(("False".into(), "Progressing".into()))));
    }
    let made = secrets(&world);
    world.pass(None).expect("it can be written");
    assert!(world.authenticates());
    assert_eq!(secrets(&world), made, "no other one was made");
    let (revoked, rotated) = said_of(&world);
    assert!(revoked.is_some() && rotated == Some(("True".into(), "Rotated".into())));
}

#[test]
fn why_a_secret_was_replaced_is_said_once_the_next_is_published() {
    let mut world = World::new(app(), Keeping::Several);
    world.pass(None).expect("a registration");
    world.wait(60);
    world.objects.clear();
    let _ = world.pass(Some((1, Cut::Failure)));
    assert_eq!(world.last_rotation(), None, "nothing could be written");
    world.pass(None).expect("it can be written");
    let rotation = world.app.status.as_ref().and_then(|status| status.rotation.clone()).expect("a rotation");
    assert_eq!(rotation.last_trigger.as_deref(), Some("Lost"));
    assert!(world.authenticates() && world.publishes_what_it_says());
}
