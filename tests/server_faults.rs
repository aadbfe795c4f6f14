//! What a server can do wrong: the right reason each time, no hail of requests, and recovery unaided.

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::support::outcome::last_words;
use crate::support::site::Site;
use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Error, Result, eventually};

mod table;

use table::{At, Fault, GONE, READY, TABLE, concerns_everybody};

/// How often the refused one of several servers has met its fault when the faults are lifted. At waits that double
/// that takes some while; a client without them would have sent hundreds by then.
const TRIES: u64 = 5;
/// The most that one object may meet a fault meanwhile: the waits double, so that even minutes add little. After a 401
/// it is tried with a new token at once.
const HITS: u64 = 16;
/// The most that may be asked of a server meanwhile, all requests together.
const REQUESTS: usize = 80;

/// One fault at one server, where one application of the fault's name is its victim.
struct Trial {
    fault: &'static Fault,
    at: At,
    site: Site,
    /// The requests before the fault.
    before: usize,
    /// The version of an application that was served before, where one may not be touched.
    version: Option<String>,
}

impl Trial {
    async fn prepare(world: &World, fault: &'static Fault, at: At) -> Result<Self> {
        let more = if at.is_swept() { "  driftInterval: 1s\n" } else { "" };
        let site = Site::beside(world, fault.name, more).await?;
        let mut trial = Self { fault, at, site, before: 0, version: None };
        if at != At::Create {
            trial.site.confidential(world, fault.name).await?;
            world.until_ready(fault.name).await?;
            trial.version = world.applications(world.home.name()).get(fault.name).await?.resource_version();
        }
        Ok(trial)
    }

    async fn begin(&mut self) -> Result<()> {
        self.before = self.site.cloud.access_log()?.len();
        if self.fault.is_down() {
            return self.site.cloud.kill9();
        }
        self.site.cloud.faults(&self.fault.order(self.at)).await
    }

    async fn lift(&mut self) -> Result<()> {
        if self.fault.is_down() {
            return self.site.cloud.restart().await;
        }
        self.site.cloud.countermand().await
    }

    async fn hits(&self) -> Result<u64> {
        if self.fault.is_down() {
            return Ok(0);
        }
        Ok(Fault::hits(&self.site.cloud.orders().await?))
    }

    /// Gives a reason to ask the server.
    async fn provoke(&self, world: &World) -> Result<()> {
        let (home, name) = (world.home.name(), self.fault.name);
        match self.at {
            At::Create => self.site.confidential(world, name).await,
            At::Secret => {
                world.secrets(home).delete(&format!("{name}-oauth"), &DeleteParams::default()).await?;
                Ok(())
            }
            At::Update | At::Look => {
                let rename = Patch::Merge(json!({"spec": {"displayName": format!("{name} renamed")}}));
                world.applications(home).patch(name, &PatchParams::default(), &rename).await?;
                Ok(())
            }
            At::Delete => {
                world.applications(home).delete(name, &DeleteParams::default()).await?;
                Ok(())
            }
            // The server's own pass comes by itself; and a new operator has no token.
            At::Sweep | At::Catalogue | At::Token => Ok(()),
        }
    }

    /// Waits until everybody whom the fault concerns has been told so.
    async fn told(&self, world: &World) -> Result<()> {
        let (home, reason, victim) = (world.home.name(), self.fault.says(self.at), self.fault.name);
        let met = async || Ok((self.fault.is_down() || self.hits().await? > 0).then_some(()));
        eventually("the fault is met", LIMIT, met).await?;
        if reason == READY {
            return self.served(world).await;
        }
        if reason == GONE {
            return world.until_gone(home, victim).await;
        }
        if !self.at.is_swept() || concerns_everybody(reason) {
            if !self.fault.is_done_all_the_same(self.at) {
                let message = world.until_refused(home, victim, reason).await?;
                assert!(!message.is_empty() && !message.contains('<'), "{message}");
            }
            eventually(&format!("an Event says {reason}"), LIMIT, async || has_event(world, victim, reason).await)
                .await?;
        }
        if self.at == At::Token || self.at.is_swept() {
            self.site.until_in_trouble(world, reason).await?;
        }
        Ok(())
    }

    /// Waits until the victim is as it should be although the fault lasts.
    async fn served(&self, world: &World) -> Result<()> {
        if self.at == At::Delete {
            return world.until_gone(world.home.name(), self.fault.name).await;
        }
        world.until_ready(self.fault.name).await.map(|_| ())
    }

    /// What must not have happened while the fault lasted.
    async fn was_calm(&self, world: &World) -> Result<()> {
        let (hits, requests) = (self.hits().await?, self.site.cloud.access_log()?.len() - self.before);
        if !self.fault.is_slow() && (hits > HITS || requests > REQUESTS) {
            return Err(Error::new(format!("the fault was met {hits} times in {requests} requests")));
        }
        if self.at.is_swept() && !concerns_everybody(self.fault.says(self.at)) {
            let app = world.applications(world.home.name()).get(self.fault.name).await?;
            let status = app.status.clone().unwrap_or_default();
            if app.resource_version() != self.version {
                return Err(Error::new(format!("what was served before need not know: {:?}", status.conditions)));
            }
        }
        if self.at.is_swept() && self.fault.says(self.at) == READY {
            let status = world.servers().get(self.fault.name).await?.status.unwrap_or_default();
            if !ready(&status.conditions) {
                return Err(Error::new(format!("the server is well: {:?}", status.conditions)));
            }
        }
        Ok(())
    }

    async fn recovered(&self, world: &World) -> Result<()> {
        self.site.until_connected(world).await?;
        if self.at == At::Delete {
            world.until_gone(world.home.name(), self.fault.name).await?;
            let left = self.site.cloud.registrations(self.fault.name).await?.len();
            // Where the server denied that there is a registration, nobody can know better.
            let lost = usize::from(self.fault.says(self.at) == GONE);
            return if left == lost { Ok(()) } else { Err(Error::new(format!("{left} registrations are left"))) };
        }
        eventually("it is complete", LIMIT, async || self.site.complete(world, self.fault.name).await).await
    }
}

async fn has_event(world: &World, name: &str, reason: &str) -> Result<Option<()>> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), world.home.name());
    let list = events.list(&ListParams::default()).await?;
    let seen = list.iter().any(|event| {
        event.reason.as_deref() == Some(reason)
            && event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
    });
    Ok(seen.then_some(()))
}

/// The same for every server at once; a failure says which faults it was.
async fn each(trials: &[Trial], world: &World, what: &str, act: impl AsyncFn(&Trial) -> Result<()>) -> Result<()> {
    let acts = trials.iter().map(async |trial| {
        let said = |error| format!("{} at {:?}, {what}: {error}", trial.fault.name, trial.at);
        act(trial).await.map_err(said)
    });
    let failures: Vec<String> = join_all(acts).await.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("{}\n{}", failures.join("\n"), last_words(&world.operator.logs()))))
}

async fn every_fault(at: At) -> Result<()> {
    let operator = vec!["--request-timeout".into(), "2".into()];
    let mut world = World::with("faults", Variations { operator, ..Variations::default() }).await?;
    let mut trials = try_join_all(TABLE.iter().map(|fault| Trial::prepare(&world, fault, at))).await?;
    try_join_all(trials.iter_mut().map(Trial::begin)).await?;
    if at == At::Token {
        world.operator.kill9()?;
        world.operator.restart().await?;
    }
    each(&trials, &world, "while it is provoked", async |trial| trial.provoke(&world).await).await?;
    each(&trials, &world, "while it lasts", async |trial| trial.told(&world).await).await?;
    let denied = trials.iter().find(|trial| trial.fault.name == "denied");
    let tried = async || {
        let Some(trial) = denied else { return Ok(Some(())) };
        let hits = trial.hits().await?;
        if hits >= TRIES { Ok(Some(())) } else { Err(Error::new(format!("{hits} of {TRIES} tries"))) }
    };
    eventually("it was tried again and again", LIMIT, tried).await?;
    each(&trials, &world, "after a while", async |trial| trial.was_calm(&world).await).await?;
    try_join_all(trials.iter_mut().map(Trial::lift)).await?;
    each(&trials, &world, "after it was lifted", async |trial| trial.recovered(&world).await).await
}

#[tokio::test]
async fn every_fault_of_a_create_is_named_and_survived() -> Result<()> {
    every_fault(At::Create).await
}

#[tokio::test]
async fn every_fault_of_a_new_secret_is_named_and_survived() -> Result<()> {
    every_fault(At::Secret).await
}

#[tokio::test]
async fn every_fault_of_an_update_is_named_and_survived() -> Result<()> {
    every_fault(At::Update).await
}

#[tokio::test]
async fn every_fault_of_a_deletion_is_named_and_survived() -> Result<()> {
    every_fault(At::Delete).await
}

#[tokio::test]
async fn every_fault_of_a_look_at_a_registration_is_named_and_survived() -> Result<()> {
    every_fault(At::Look).await
}

#[tokio::test]
async fn every_fault_of_a_sweep_is_named_and_survived() -> Result<()> {
    every_fault(At::Sweep).await
}

#[tokio::test]
async fn every_fault_of_the_catalogue_is_named_and_survived() -> Result<()> {
    every_fault(At::Catalogue).await
}

#[tokio::test]
async fn every_fault_of_the_token_endpoint_is_named_and_survived() -> Result<()> {
    every_fault(At::Token).await
}

#[tokio::test]
async fn a_frozen_server_makes_its_applications_not_ready_and_a_new_one_is_told() -> Result<()> {
    let operator = vec!["--request-timeout".into(), "1".into()];
    let server = "  driftInterval: 2s\n".into();
    let world = World::with("frozen", Variations { server, operator, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "").await?;
    world.until_ready("worker").await?;
    world.cloud.faults(&json!({"match": {}, "times": 100_000, "action": "hang"})).await?;
    world.until_refused(&home, "worker", "ServerTimeout").await?;
    world.confidential(&home, "newcomer", "").await?;
    world.until_refused(&home, "newcomer", "ServerTimeout").await?;
    world.cloud.countermand().await?;
    world.until_ready("worker").await?;
    world.until_ready("newcomer").await?;
    Ok(())
}

/// How many passes run at once in the next test, and how many applications wait for the frozen server.
const CONCURRENCY: usize = 4;
const WAITING: usize = 12;
/// How often it is tried to be served before the frozen server's requests time out.
const ATTEMPTS: usize = 4;

#[tokio::test]
async fn applications_of_a_healthy_server_do_not_wait_for_those_of_a_frozen_one() -> Result<()> {
    let operator = ["--request-timeout", "30", "--concurrency", &CONCURRENCY.to_string()].map(str::to_owned).to_vec();
    let world = World::with("beside", Variations { operator, ..Variations::default() }).await?;
    for attempt in 1..=ATTEMPTS {
        if overtakes(&world, attempt).await? {
            return Ok(());
        }
    }
    Err(Error::new("the application of the healthy server was always served after the others had timed out"))
}

/// Has many applications wait for a server that hangs, and one more made at the healthy one. Gives back whether that one
/// was served while the others hung: on a slow machine they may have timed out, which proves nothing.
async fn overtakes(world: &World, attempt: usize) -> Result<bool> {
    let frozen = Site::beside(world, &format!("frozen-{attempt}"), "").await?;
    frozen.cloud.faults(&json!({"match": {}, "times": 100_000, "action": "hang"})).await?;
    let names: Vec<String> = (1..=WAITING).map(|number| format!("waiting-{attempt}-{number}")).collect();
    for name in &names {
        frozen.confidential(world, name).await?;
    }
    let hanging = async || Ok((Fault::hits(&frozen.cloud.orders().await?) > 0).then_some(()));
    eventually("a request hangs", LIMIT, hanging).await?;
    let worker = format!("worker-{attempt}");
    world.confidential(world.home.name(), &worker, "").await?;
    world.until_ready(&worker).await?;
    let mut first = true;
    for name in &names {
        let status = world.applications(world.home.name()).get(name).await?.status.unwrap_or_default();
        first &= status.conditions.is_empty();
    }
    Ok(first)
}
