//! The operator dies, or an answer is lost, at each of its side effects: what is there afterwards is what there would be
//! without it, once.

use std::io::Write;

use extapp::domain::intent::READ_LAG;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::gate::Stop;
use crate::support::outcome::{complete, last_words};
use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Context, Error, Result, eventually};

/// What is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Create,
    Update,
    Delete,
    /// The registration is deleted at the server.
    Recreate,
    /// The Secret is deleted in the cluster.
    Replace,
}

impl Scene {
    /// What has to be there first.
    async fn prepare(self, world: &World, names: &[String]) -> Result<()> {
        if self == Self::Create {
            return Ok(());
        }
        for name in names {
            world.confidential(world.home.name(), name, "").await?;
        }
        for name in names {
            world.until_ready(name).await?;
        }
        if self == Self::Recreate {
            // Until then it is not believed that a registration is gone.
            let newest = extapp::clock::now();
            let old =
                async || Ok((newest.duration_until(extapp::clock::now()).unsigned_abs() > READ_LAG).then_some(()));
            eventually("the registrations are old enough", LIMIT, old).await?;
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
                let uris = ["https://invoices.example.com/callback"];
                let patch = Patch::Merge(json!({"spec": {"resources": resources, "redirectUris": uris}}));
                api.patch(name, &PatchParams::default(), &patch).await?;
                Ok(())
            }
            Self::Delete => api.delete(name, &DeleteParams::default()).await.map(|_| ()).map_err(Into::into),
            Self::Recreate => {
                let id = world.registration(name).await?["id"].as_str().unwrap_or_default().to_owned();
                world.delete_registration(&id).await
            }
            Self::Replace => {
                let secrets = world.secrets(world.home.name());
                secrets.delete(&format!("{name}-oauth"), &DeleteParams::default()).await.map(|_| ()).map_err(Into::into)
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
        let home = world.home.name();
        eventually(&format!("{self:?} of {name} is complete"), LIMIT, async || complete(world, home, name).await).await
    }
}

/// More side effects than any scene has.
const MOST: usize = 8;

async fn sweep(scene: Scene, stop: Stop) -> Result<()> {
    let prefix = format!("crash-{scene:?}").to_lowercase();
    let server = "  driftInterval: 2s\n".into();
    // So many sweeps would use up what a server that counts requests leaves for them.
    let operator = vec!["--requests-per-minute".into(), "100000".into()];
    let mut world = World::with(&prefix, Variations { gated: true, server, operator, ..Variations::default() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    let names: Vec<String> = (1..=MOST).map(|run| format!("app-{run}")).collect();
    let everyone: Vec<String> = names.iter().cloned().chain(["reference".into()]).collect();
    scene.prepare(&world, &everyone).await?;
    gate.count_anew();
    scene.act(&world, "reference").await?;
    scene.settle(&world, "reference").await?;
    // How many effects there are differs by one or two from run to run, such as a status between two looks at the
    // server, or a write that came second and is made again. So the sweep goes on until two undisturbed runs have had
    // fewer than that.
    let (mut reached, mut undisturbed) = (0, vec![gate.counted()]);
    let effects = gate.latest(gate.counted());
    let fewer = |undisturbed: &[usize], effect| undisturbed.iter().filter(|effects| **effects < effect).count();
    for name in &names {
        let effect = reached + 1;
        let stopped = interrupt(scene, stop, effect, &mut world, name).await.map_err(|error| {
            let (saw, tail) = (gate.counted(), last_words(&world.operator.logs()));
            Error::new(format!("{scene:?} {stop:?} {effect} of {undisturbed:?}: {error}; saw {saw}\n{tail}"))
        })?;
        if stopped {
            reached = effect;
        } else {
            undisturbed.push(gate.counted());
        }
        if fewer(&undisturbed, reached + 1) > 1 {
            break;
        }
    }
    // The test harness captures the print macros, and the number is for whoever reads the run.
    let text = format!("{scene:?}: {stop:?} at each of {reached} side effects; undisturbed runs had {undisturbed:?}");
    let _ = writeln!(std::io::stderr(), "{text}, the first of them {effects:?}");
    let all = reached > 1 && fewer(&undisturbed, reached + 1) > 1;
    if all { Ok(()) } else { Err(Error::new(format!("{text}: that was not all"))) }
}

/// Has the scene stopped at one effect, and fails unless all is well afterwards. Gives back whether it came to that
/// effect: a run may have fewer.
async fn interrupt(scene: Scene, stop: Stop, effect: usize, world: &mut World, name: &str) -> Result<bool> {
    let gate = world.gate.clone().context("the gate")?;
    gate.arm(effect, stop);
    scene.act(world, name).await?;
    let reached = tokio::select! {
        reached = gate.reached(LIMIT) => reached.map(|()| true),
        settled = scene.settle(world, name) => settled.map(|()| gate.counted() >= effect),
    };
    if !reached? {
        gate.thaw();
        return Ok(false);
    }
    if matches!(stop, Stop::Before | Stop::After) {
        world.operator.kill9()?;
        gate.thaw();
        world.operator.restart().await?;
    }
    gate.thaw();
    scene.settle(world, name).await.map(|()| true)
}

/// What is sent is not done, or done without an answer that says so.
const LOST: [Stop; 3] = [Stop::LoseAnswer, Stop::Cut, Stop::LateError(504)];
const REFUSED: [Stop; 3] = [Stop::Refuse(500), Stop::Refuse(429), Stop::Refuse(409)];

async fn sweeps(scene: Scene, stops: &[Stop]) -> Result<()> {
    let each = stops.iter().map(|stop| sweep(scene, *stop));
    for result in futures::future::join_all(each).await {
        result?;
    }
    Ok(())
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_a_create() -> Result<()> {
    sweeps(Scene::Create, &[Stop::Before, Stop::After]).await
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_an_update() -> Result<()> {
    sweeps(Scene::Update, &[Stop::Before, Stop::After]).await
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_a_delete() -> Result<()> {
    sweeps(Scene::Delete, &[Stop::Before, Stop::After]).await
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_making_a_deleted_registration_again() -> Result<()> {
    sweeps(Scene::Recreate, &[Stop::Before, Stop::After]).await
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_replacing_a_lost_secret() -> Result<()> {
    sweeps(Scene::Replace, &[Stop::Before, Stop::After]).await
}

#[tokio::test]
async fn the_answer_to_each_effect_of_a_create_is_lost() -> Result<()> {
    sweeps(Scene::Create, &LOST).await
}

#[tokio::test]
async fn the_answer_to_each_effect_of_an_update_or_a_delete_is_lost() -> Result<()> {
    let (update, delete) = tokio::join!(sweeps(Scene::Update, &LOST), sweeps(Scene::Delete, &LOST));
    update.and(delete)
}

#[tokio::test]
async fn the_answer_to_each_effect_of_making_a_deleted_registration_again_or_replacing_a_lost_secret_is_lost()
-> Result<()> {
    let (recreate, replace) = tokio::join!(sweeps(Scene::Recreate, &LOST), sweeps(Scene::Replace, &LOST));
    recreate.and(replace)
}

#[tokio::test]
async fn each_effect_of_a_create_is_refused_once() -> Result<()> {
    sweeps(Scene::Create, &REFUSED).await
}

#[tokio::test]
async fn each_effect_of_an_update_or_a_delete_is_refused_once() -> Result<()> {
    let (update, delete) = tokio::join!(sweeps(Scene::Update, &REFUSED), sweeps(Scene::Delete, &REFUSED));
    update.and(delete)
}
