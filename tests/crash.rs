//! The operator dies, or an answer is lost, at each of its side effects: what is there afterwards is what there would be
//! without it, once.

use std::io::Write;
use std::time::{Duration, Instant};

use extapp::domain::intent::READ_LAG;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::gate::{Effect, Stop};
use crate::support::outcome::{complete, last_words, revoked, rolled_back, rotated};
use crate::support::world::{LIMIT, Variations, World, text_of, works};
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
    /// A new secret is asked for.
    Rotate,
    /// The secret is said to have leaked, right after another one was replaced.
    Revoke,
    /// The secret before is asked for again.
    RollBack,
}

impl Scene {
    /// What has to be there first.
    async fn prepare(self, world: &World, names: &[String]) -> Result<()> {
        if self == Self::Create {
            return Ok(());
        }
        // The secret before goes soon, so that its end is part of what is interrupted.
        let more = match self {
            Self::Rotate => "  rotation: {overlap: 2s}\n",
            Self::Revoke | Self::RollBack => "  rotation: {overlap: 1h}\n",
            _ => "",
        };
        for name in names {
            world.confidential(world.home.name(), name, more).await?;
        }
        for name in names {
            world.until_ready(name).await?;
        }
        if matches!(self, Self::Revoke | Self::RollBack) {
            for name in names {
                world.annotate(name, extapp::api::ROTATE, "before").await?;
            }
            for name in names {
                crate::rotation::until_rotated(world, name, "before").await?;
            }
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
            Self::Rotate => world.annotate(name, extapp::api::ROTATE, "asked").await,
            Self::Revoke => world.annotate(name, extapp::api::REVOKE_NOW, "asked").await,
            Self::RollBack => world.annotate(name, extapp::api::ROLLBACK, "asked").await,
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
        match self {
            Self::Rotate => {
                let done = async || rotated(world, name, "asked").await;
                return eventually(&format!("{name} is rotated, and nothing is left"), SETTLED, done).await;
            }
            Self::Revoke => {
                let done = async || revoked(world, name, "asked").await;
                return eventually(&format!("nothing of {name} is left that leaked"), SETTLED, done).await;
            }
            Self::RollBack => {
                let registration = world.registration(name).await?;
                let secrets = registration["secrets"].as_array().into_iter().flatten();
                let first = secrets.filter_map(|secret| secret["id"].as_i64()).min().context("a secret")?.to_string();
                let done = async || rolled_back(world, name, "asked", &first).await;
                return eventually(&format!("{name} has its secret before"), SETTLED, done).await;
            }
            _ => {}
        }
        eventually(&format!("{self:?} of {name} is complete"), LIMIT, async || complete(world, home, name).await).await
    }
}

/// More side effects than any scene has, and two undisturbed runs.
const MOST: usize = 12;
/// A secret whose value was lost goes only after a minute.
const SETTLED: Duration = Duration::from_mins(3);
/// The secrets of a registration that is rotated: the published one, its successor, and one whose value was lost.
const SECRETS: usize = 3;

async fn sweep(scene: Scene, stop: Stop) -> Result<()> {
    let prefix = format!("crash-{scene:?}").to_lowercase();
    let server = "  driftInterval: 2s\n".into();
    let mut world = World::with(&prefix, Variations { gated: true, server, ..Variations::uncounted() }).await?;
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
        let added = gate.count_of(Effect::AddSecret);
        let user = (scene == Scene::Rotate).then(|| User::of(&world, name)).transpose()?;
        let stopped = interrupt(scene, stop, effect, &mut world, name).await;
        if let Some(user) = user {
            user.was_never_refused().await.context(format!("{stop:?} {effect}"))?;
        }
        let more = gate.count_of(Effect::AddSecret) - added;
        assert!(scene != Scene::Rotate || more <= 2, "{more} secrets were made for one request, {stop:?} {effect}");
        let stopped = stopped.map_err(|error| {
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

/// Who uses the published secret all the while.
struct User {
    stop: CancellationToken,
    work: JoinHandle<Result<()>>,
}

impl User {
    fn of(world: &World, name: &str) -> Result<Self> {
        let stop = CancellationToken::new();
        let (secrets, output, ended) = (world.secrets(world.home.name()), format!("{name}-oauth"), stop.clone());
        let (cloud, name) = (world.cloud.administration()?, name.to_owned());
        // Not through the gate: what comes there while everything stands still is never answered.
        let token_uri = format!("{}/identity_/connect/token", world.cloud.base_url());
        let work = tokio::spawn(async move {
            let (http, mut pace) = (reqwest::Client::new(), tokio::time::interval(Duration::from_millis(50)));
            while !ended.is_cancelled() {
                pace.tick().await;
                let (mut keys, read) = (text_of(secrets.get(&output).await?), Instant::now());
                keys.insert("token-uri".to_owned(), token_uri.clone());
                // One that took longer than the secret before stays valid proves nothing.
                if !works(&http, &keys).await? && read.elapsed() < Duration::from_secs(1) {
                    return Err(Error::new(format!("the published secret of {name} was refused")));
                }
                let there = cloud.registrations(&name).await?[0]["secrets"].as_array().map_or(0, Vec::len);
                if there > SECRETS {
                    return Err(Error::new(format!("{there} secrets of {name} at the server")));
                }
            }
            Ok(())
        });
        Ok(Self { stop, work })
    }

    async fn was_never_refused(self) -> Result<()> {
        self.stop.cancel();
        self.work.await?
    }
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
async fn killed_before_and_after_each_effect_of_a_rotation_the_published_secret_works_and_none_is_left() -> Result<()> {
    sweeps(Scene::Rotate, &[Stop::Before, Stop::After]).await
}

#[tokio::test]
async fn the_answer_to_each_effect_of_a_rotation_is_lost_or_it_is_refused_once() -> Result<()> {
    let (lost, refused) = tokio::join!(sweeps(Scene::Rotate, &LOST), sweeps(Scene::Rotate, &REFUSED));
    lost.and(refused)
}

#[tokio::test]
async fn however_the_revocation_of_a_leaked_secret_is_interrupted_none_is_left_that_there_was() -> Result<()> {
    sweeps(Scene::Revoke, &[Stop::Before, Stop::After, Stop::Refuse(500), Stop::Refuse(409), Stop::LateError(504)])
        .await
}

#[tokio::test]
async fn however_a_rollback_is_interrupted_the_secret_before_is_published_and_the_other_one_stays_for_its_time()
-> Result<()> {
    sweeps(Scene::RollBack, &[Stop::Before, Stop::After, Stop::Refuse(409), Stop::LateError(504)]).await
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
