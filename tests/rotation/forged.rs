//! What somebody who may write Secrets in a namespace makes of the object in which a rotation keeps its secrets: nothing
//! that is not their own comes to harm, and nothing is made in vain.

use extapp::api::external_application::CredentialState;
use extapp::api::{REVOKE_NOW, ROTATE};
use extapp::domain::outputs::checksum;
use extapp::domain::registration::{ClientSecret, SecretId};
use extapp::domain::rotation::kept::{Kept, SINCE, TRIGGER};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::{at_server, kept, keys, listed, made_of, message, until_event, until_rotated, until_says, variations};
use crate::support::world::{LIMIT, World};
use crate::support::{Context, Result, eventually};

async fn world(prefix: &str) -> Result<World> {
    let world = World::with(prefix, variations()).await?;
    for name in ["worker", "victim"] {
        world.confidential(world.home.name(), name, "  rotation: {overlap: 1h}\n").await?;
    }
    for name in ["worker", "victim"] {
        world.until_ready(name).await?;
    }
    Ok(world)
}

async fn name_of_kept(world: &World) -> Result<(String, extapp::api::ExternalApplication)> {
    let app = world.applications(world.home.name()).get("worker").await?;
    Ok((Kept::object_name("worker", &app.uid().unwrap_or_default()), app))
}

#[tokio::test]
async fn a_forged_rotation_that_names_the_secret_of_another_application_removes_nothing() -> Result<()> {
    let world = world("forged").await?;
    let secrets = world.secrets(world.home.name());
    let victims = at_server(&world, "victim").await?;
    let victim = victims.first().context("a secret")?;
    let (name, app) = name_of_kept(&world).await?;
    let (uid, client_id) = (app.uid().unwrap_or_default(), app.status.as_ref().and_then(|s| s.client_id.clone()));
    let sum = checksum(&uid, &SecretId::new(victim.as_str()), &ClientSecret::new("written by hand"));
    for trigger in ["RolledBack", "Requested", "Leaked"] {
        let forged = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "extapp.dev/rotation",
            "metadata": {
                "name": name, "labels": {"app.kubernetes.io/managed-by": "extapp"},
                "annotations": {
                    "extapp.dev/kept": "true", "extapp.dev/client-id": client_id, TRIGGER: trigger,
                    SINCE: "2020-01-01T00:00:00Z", "extapp.dev/rotation-seal": "0".repeat(64)
                },
                "ownerReferences": [{
                    "apiVersion": extapp::api::ExternalApplication::api_version(&()), "kind": "ExternalApplication",
                    "name": "worker", "uid": uid, "controller": true
                }]
            },
            "stringData": {"next-id": victim, "next-secret": "written by hand", "next-secret-checksum": sum}
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(forged)?).await?;
        let gone = async || Ok(kept(&world, "worker").await?.is_none().then_some(()));
        eventually("what is forged is removed", LIMIT, gone).await?;
    }
    // What is read there next, and what every rotation removes, is none of it.
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let revoked = |_: &_, status: &extapp::api::ExternalApplicationStatus| {
        status.rotation.as_ref().is_some_and(|rotation| rotation.revoke_now.as_deref() == Some("leaked"))
    };
    let app = world.until(world.home.name(), "worker", revoked).await?;
    assert!(!listed(&app, CredentialState::Active).contains(&victim.as_str()), "{:?}", app.status);
    assert_eq!(at_server(&world, "victim").await?, victims);
    assert!(world.works(&keys(&world, "victim").await?).await? && world.works(&keys(&world, "worker").await?).await?);
    Ok(())
}

#[tokio::test]
async fn a_secret_in_the_way_of_a_rotation_is_named_before_anything_is_made_and_left_alone() -> Result<()> {
    let world = world("in-the-way").await?;
    let secrets = world.secrets(world.home.name());
    let (name, _) = name_of_kept(&world).await?;
    let theirs =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"a": "theirs"}});
    let theirs = secrets.create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
    let made = made_of(&world)?;
    world.annotate("worker", ROTATE, "1").await?;
    let app = until_says(&world, "worker", "False", "SecretConflict").await?;
    assert!(message(&app).contains(&name) && message(&app).contains("delete it"), "{}", message(&app));
    assert_eq!(made_of(&world)?, made, "nothing was made that cannot be kept");
    assert_eq!(secrets.get(&name).await?.metadata.uid, theirs.metadata.uid);
    secrets.delete(&name, &DeleteParams::default()).await?;
    world.annotate("worker", ROTATE, "2").await?;
    until_rotated(&world, "worker", "2").await?;
    assert_eq!(made_of(&world)?, made + 1);
    Ok(())
}

#[tokio::test]
async fn a_rotation_whose_kept_secret_lost_its_marks_is_found_again() -> Result<()> {
    let world = world("unmarked").await?;
    super::lag(&world).await?;
    world.annotate("worker", ROTATE, "1").await?;
    until_says(&world, "worker", "False", "Proving").await?;
    let made = made_of(&world)?;
    let (name, _) = name_of_kept(&world).await?;
    let bare = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    let secrets = world.secrets(world.home.name());
    secrets.patch(&name, &PatchParams::default(), &Patch::Merge(bare)).await?;
    world.cloud.countermand().await?;
    until_rotated(&world, "worker", "1").await?;
    until_event(&world, "worker", "Rotated").await?;
    assert_eq!(made_of(&world)?, made, "with the secret that was made");
    Ok(())
}
