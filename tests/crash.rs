//! The operator dies, or an answer is lost, at each of its side effects: what is there afterwards is what there would be
//! without it, once.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::gate::Stop;
use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Context, Error, Result, eventually};

/// What is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Create,
    Update,
    Delete,
    Recreate,
}

impl Scene {
    /// What has to be there first.
    async fn prepare(self, world: &World, name: &str) -> Result<()> {
        if self != Self::Create {
            world.confidential(world.home.name(), name, "").await?;
            world.until_ready(name).await?;
        }
        Ok(())
    }

    async fn act(self, world: &World, name: &str) -> Result<()> {
        let api = world.applications(world.home.name());
        match self {
            Self::Create => world.confidential(world.home.name(), name, "").await,
            Self::Update => {
                let resources =
                    json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]);
                let patch = Patch::Merge(json!({"spec": {"resources": resources}}));
                api.patch(name, &PatchParams::default(), &patch).await?;
                Ok(())
            }
            Self::Delete => api.delete(name, &DeleteParams::default()).await.map(|_| ()).map_err(Into::into),
            Self::Recreate => {
                // Old enough that the server's reads are believed.
                let id = world.registration(name).await?["id"].as_str().unwrap_or_default().to_owned();
                world.delete_registration(&id).await
            }
        }
    }

    /// Waits until everything is as it would be without any interruption, and fails where it is not.
    async fn settle(self, world: &World, name: &str) -> Result<()> {
        if self == Self::Delete {
            world.until_gone(world.home.name(), name).await?;
            let left = world.registrations(name).await?.len();
            return if left == 0 { Ok(()) } else { Err(Error::new(format!("{left} registrations are left"))) };
        }
        eventually(&format!("{self:?} of {name} is complete"), LIMIT, async || complete(world, name).await).await
    }
}

/// One registration as wanted, one secret that works, and no other that nobody knows of.
async fn complete(world: &World, name: &str) -> Result<Option<()>> {
    let app = world.applications(world.home.name()).get(name).await?;
    let status = app.status.unwrap_or_default();
    let registrations = world.registrations(name).await?;
    let keys = world.secret(world.home.name(), &format!("{name}-oauth")).await.unwrap_or_default();
    let [registration] = registrations.as_slice() else {
        return Err(Error::new(format!("{} registrations", registrations.len())));
    };
    let known = registration["secrets"].as_array().map_or(0, Vec::len);
    let wanted: Vec<&String> = app.spec.resources.iter().flat_map(|resource| &resource.application_scopes).collect();
    let granted = registration["resources"].to_string();
    let holds = ready(&status.conditions)
        && status.observed_generation == app.metadata.generation
        && status.client_id.as_deref() == registration["id"].as_str()
        && keys.get("client-id").map(String::as_str) == registration["id"].as_str()
        && wanted.iter().all(|scope| granted.contains(&format!("\"{scope}\"")))
        && known == status.credentials.len()
        && world.works(&keys).await?;
    if holds {
        Ok(Some(()))
    } else {
        Err(Error::new(format!("ready or not: {status:?}, {known} secrets at the server")))
    }
}

async fn sweep(scene: Scene, stop: Stop) -> Result<()> {
    let prefix = format!("crash-{scene:?}").to_lowercase();
    let server = "  driftInterval: 2s\n".into();
    let mut world = World::with(&prefix, Variations { gated: true, server, ..Variations::default() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    scene.prepare(&world, "reference").await?;
    gate.count_anew();
    scene.act(&world, "reference").await?;
    scene.settle(&world, "reference").await?;
    let effects = gate.counted();
    println!("{scene:?}: {effects} side effects; {stop:?} at each of them");
    assert!(effects > 1, "nothing was counted");
    for effect in 1..=effects {
        let name = format!("app-{effect}");
        scene.prepare(&world, &name).await?;
        gate.arm(effect, stop);
        scene.act(&world, &name).await?;
        let undisturbed = tokio::select! {
            reached = gate.reached(LIMIT) => { reached.context(format!("{scene:?} {stop:?} {effect}"))?; false }
            settled = scene.settle(&world, &name) => { settled?; gate.counted() < effect }
        };
        if undisturbed {
            // The reference made one effect more, such as a status between two looks at the server.
            gate.thaw();
            continue;
        }
        if stop != Stop::LoseAnswer {
            world.operator.kill9()?;
            gate.thaw();
            world.operator.restart().await?;
        }
        gate.thaw();
        let settled = scene.settle(&world, &name).await;
        settled.map_err(|error| {
            let logs = world.operator.logs();
            let tail: Vec<&str> = logs.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect();
            Error::new(format!("{scene:?} {stop:?} {effect} of {effects}: {error}\n{}", tail.join("\n")))
        })?;
    }
    Ok(())
}

#[tokio::test]
async fn killed_before_each_effect_of_a_create() -> Result<()> {
    sweep(Scene::Create, Stop::Before).await
}

#[tokio::test]
async fn killed_after_each_effect_of_a_create() -> Result<()> {
    sweep(Scene::Create, Stop::After).await
}

#[tokio::test]
async fn the_answer_to_each_effect_of_a_create_is_lost() -> Result<()> {
    sweep(Scene::Create, Stop::LoseAnswer).await
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_an_update_and_its_answer_lost() -> Result<()> {
    sweep(Scene::Update, Stop::Before).await?;
    sweep(Scene::Update, Stop::After).await?;
    sweep(Scene::Update, Stop::LoseAnswer).await
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_a_delete_and_its_answer_lost() -> Result<()> {
    sweep(Scene::Delete, Stop::Before).await?;
    sweep(Scene::Delete, Stop::After).await?;
    sweep(Scene::Delete, Stop::LoseAnswer).await
}

#[tokio::test]
async fn killed_after_each_effect_of_making_a_deleted_registration_again() -> Result<()> {
    sweep(Scene::Recreate, Stop::After).await
}
