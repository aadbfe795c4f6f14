//! The operator dies, or an answer is lost, at each side effect of an assignment: afterwards the roles are as listed, and
//! nothing is left where nothing shall be.

use std::io::Write;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{Office, READER, WRITER};
use crate::support::gate::Stop;
use crate::support::outcome::last_words;
use crate::support::world::{LIMIT, Variations, ready};
use crate::support::{Context, Error, Result, eventually};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Assign,
    /// One folder is narrowed, one is left, one is new.
    Change,
    Remove,
    /// The application is deleted under its assignment.
    Orphan,
}

/// More side effects than any scene has.
const MOST: usize = 9;

impl Scene {
    async fn prepare(self, office: &Office, name: &str) -> Result<()> {
        office.register(name).await?;
        if self == Self::Assign {
            return Ok(());
        }
        assign(office, name).await?;
        office.world.until_permitted(name).await.map(|_| ())
    }

    async fn act(self, office: &Office, name: &str) -> Result<()> {
        let api = office.world.role_assignments();
        match self {
            Self::Assign => assign(office, name).await,
            Self::Change => {
                let folders =
                    json!([{"path": "Shared/Finance", "roles": [READER]}, {"path": "Shared", "roles": [READER]}]);
                let patch = Patch::Merge(json!({"spec": {"roles": null, "folders": folders}}));
                api.patch(name, &PatchParams::default(), &patch).await?;
                Ok(())
            }
            Self::Remove => api.delete(name, &DeleteParams::default()).await.map(|_| ()).map_err(Into::into),
            Self::Orphan => {
                let apps = office.world.applications(office.world.home.name());
                apps.delete(name, &DeleteParams::default()).await.map(|_| ()).map_err(Into::into)
            }
        }
    }

    /// Waits until everything is as it would be without any interruption.
    async fn settle(self, office: &Office, name: &str) -> Result<()> {
        eventually(&format!("{self:?} of {name} is complete"), LIMIT, async || self.complete(office, name).await).await
    }

    async fn complete(self, office: &Office, name: &str) -> Result<Option<()>> {
        let tenant = office.tenant().await?;
        let shared = tenant.folder_id("Shared").await?;
        let mut has = Vec::new();
        for folder in [shared, office.finance, office.people] {
            let roles = tenant.members(folder).await?.remove(name);
            has.push(roles.map(|roles| roles.into_iter().collect::<Vec<_>>()));
        }
        let list = |roles: &[&str]| Some(roles.iter().map(ToString::to_string).collect::<Vec<_>>());
        let wanted = match self {
            Self::Assign => vec![None, list(&[READER, WRITER]), list(&[READER])],
            Self::Change => vec![list(&[READER]), list(&[READER]), None],
            Self::Remove | Self::Orphan => vec![None, None, None],
        };
        if has != wanted {
            return Err(Error::new(format!("{name} has {has:?}, not {wanted:?}")));
        }
        let object = office.world.role_assignments().get_opt(name).await?;
        let settled = match self {
            Self::Assign | Self::Change => object.is_some_and(|object| {
                let status = object.status.unwrap_or_default();
                ready(&status.conditions) && status.observed_generation == object.metadata.generation
            }),
            Self::Remove => object.is_none() && tenant.user(name).await.is_err(),
            Self::Orphan => {
                let home = office.world.home.name();
                office.world.applications(home).get_opt(name).await?.is_none()
                    && office.world.registrations(name).await?.is_empty()
                    && tenant.user(name).await.is_err()
            }
        };
        if settled { Ok(Some(())) } else { Err(Error::new("not settled")) }
    }
}

async fn assign(office: &Office, name: &str) -> Result<()> {
    let folders = format!(
        "  roles: [Allow to be Automation User]\n  folders:\n  - {{path: Shared/Finance, roles: [{READER}, {WRITER}]}}\n  - {{path: Shared/People, roles: [{READER}]}}\n"
    );
    office.world.permit(name, name, &folders).await
}

async fn sweep(scene: Scene, stop: Stop) -> Result<()> {
    let prefix = format!("roles-crash-{scene:?}").to_lowercase();
    let variations = Variations { gated: true, server: "  driftInterval: 2s\n".into(), ..Variations::uncounted() };
    let mut office = Office::new(&prefix, variations).await?;
    let gate = office.world.gate.clone().context("the gate")?;
    for run in 0..=MOST {
        scene.prepare(&office, &format!("app-{run}")).await?;
    }
    gate.count_anew();
    scene.act(&office, "app-0").await?;
    scene.settle(&office, "app-0").await?;
    let (mut reached, mut undisturbed) = (0, vec![gate.counted()]);
    for run in 1..=MOST {
        let name = format!("app-{run}");
        let effect = reached + 1;
        let stopped = interrupt(scene, stop, effect, &mut office, &name).await.map_err(|error| {
            let tail = last_words(&office.world.operator.logs());
            Error::new(format!("{scene:?} {stop:?} {effect} of {undisturbed:?}: {error}\n{tail}"))
        })?;
        if stopped {
            reached = effect;
        } else {
            undisturbed.push(gate.counted());
        }
        if undisturbed.iter().filter(|effects| **effects <= reached).count() > 1 {
            break;
        }
    }
    let text = format!("{scene:?}: {stop:?} at each of {reached} side effects; undisturbed runs had {undisturbed:?}");
    let _ = writeln!(std::io::stderr(), "{text}");
    if reached > 1 { Ok(()) } else { Err(Error::new(format!("{text}: that was not all"))) }
}

async fn interrupt(scene: Scene, stop: Stop, effect: usize, office: &mut Office, name: &str) -> Result<bool> {
    let gate = office.world.gate.clone().context("the gate")?;
    gate.arm(effect, stop);
    scene.act(office, name).await?;
    let reached = tokio::select! {
        reached = gate.reached(LIMIT) => reached.map(|()| true),
        settled = scene.settle(office, name) => settled.map(|()| gate.counted() >= effect),
    };
    if !reached? {
        gate.thaw();
        return Ok(false);
    }
    if matches!(stop, Stop::Before | Stop::After) {
        office.world.operator.kill9()?;
        gate.thaw();
        office.world.operator.restart().await?;
    }
    gate.thaw();
    scene.settle(office, name).await.map(|()| true)
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_an_assignment() -> Result<()> {
    let (before, after) = tokio::join!(sweep(Scene::Assign, Stop::Before), sweep(Scene::Assign, Stop::After));
    before.and(after)
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_a_change() -> Result<()> {
    let (before, after) = tokio::join!(sweep(Scene::Change, Stop::Before), sweep(Scene::Change, Stop::After));
    before.and(after)
}

#[tokio::test]
async fn killed_before_and_after_each_effect_of_taking_roles_away() -> Result<()> {
    let (before, after) = tokio::join!(sweep(Scene::Remove, Stop::Before), sweep(Scene::Orphan, Stop::After));
    before.and(after)
}

#[tokio::test]
async fn the_answer_to_each_effect_of_an_assignment_is_lost_or_refused() -> Result<()> {
    let (lost, refused) = tokio::join!(sweep(Scene::Assign, Stop::Cut), sweep(Scene::Assign, Stop::Refuse(500)));
    lost.and(refused)
}
