//! Whoever uses a secret as it is mounted, with the delay that a kubelet has, never notices that it is replaced.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use extapp::api::external_application::{CredentialState, ExternalApplicationStatus};
use extapp::api::{ExternalApplication, ROTATE};
use futures::TryStreamExt as _;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::{at_server, lag, listed, made_of, says, variations};
use crate::support::timed::{Hands, Timed};
use crate::support::world::{Keys, text_of, works};
use crate::support::{Error, Result, eventually};

const APPLICATIONS: usize = 24;
/// How long one step of all of them may take.
const LIMIT: Duration = Duration::from_mins(2);
/// What the applications' `overlap` is.
const OVERLAP: SignedDuration = SignedDuration::from_mins(20);
/// How far behind what is mounted may be: up to nearly the overlap.
const DELAYS: [SignedDuration; 4] =
    [SignedDuration::ZERO, SignedDuration::from_mins(1), SignedDuration::from_mins(12), SignedDuration::from_mins(19)];

/// What happens in an hour in which the applications are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hour {
    Undisturbed,
    /// The operator is killed again and again.
    Killed,
    /// It is told to stop, and started again.
    Stopped,
    /// No new secret is ever accepted.
    Failed,
    /// The same, and the operator is killed meanwhile.
    FailedAndKilled,
}

const HOURS: [Hour; 11] = [
    Hour::Undisturbed,
    Hour::Killed,
    Hour::Stopped,
    Hour::Failed,
    Hour::Undisturbed,
    Hour::Killed,
    Hour::Undisturbed,
    Hour::FailedAndKilled,
    Hour::Stopped,
    Hour::Killed,
    Hour::Undisturbed,
];

/// What every Secret has said, and since when.
#[derive(Clone, Default)]
struct Mounts(Arc<Mutex<BTreeMap<String, History>>>);

/// What a Secret said, and since when.
type History = Vec<(Timestamp, Keys)>;

impl Mounts {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Vec<(Timestamp, Keys)>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn follow(self, secrets: Api<Secret>, hands: Hands) -> Result<()> {
        let changes = watcher(secrets, watcher::Config::default()).default_backoff().applied_objects();
        let see = async |secret: Secret| {
            let name = secret.name_any();
            let (Some(name), keys) = (name.strip_suffix("-oauth"), text_of(secret.clone())) else { return Ok(()) };
            self.with(|mounts| {
                let values = mounts.entry(name.to_owned()).or_default();
                if values.last().is_none_or(|(_, last)| *last != keys) {
                    values.push((hands.now(), keys));
                }
            });
            Ok(())
        };
        changes.try_for_each(see).await.map_err(Error::new)
    }

    /// What is mounted where this is the newest that has been heard of.
    fn shown(&self, name: &str, at: Timestamp) -> Option<Keys> {
        self.with(|mounts| {
            let values = mounts.get(name)?;
            let (_, keys) = values.iter().rfind(|(since, _)| *since <= at).or(values.first())?;
            Some(keys.clone())
        })
    }

    fn changes(&self) -> usize {
        self.with(|mounts| mounts.values().map(|values| values.len() - 1).sum())
    }
}

/// What came of the token requests.
#[derive(Default)]
struct Tally {
    asked: usize,
    /// With a secret that was published no more, by application.
    outdated: BTreeMap<String, usize>,
    refused: Vec<String>,
}

/// Those who use the secrets.
#[derive(Clone)]
struct Users {
    mounts: Mounts,
    hands: Hands,
    /// The clock stands still while a request is under way: it is the delay of the mount that is long.
    clock: Arc<RwLock<()>>,
    tally: Arc<Mutex<Tally>>,
}

impl Users {
    async fn ask(self, names: Vec<String>, stop: CancellationToken) -> Result<()> {
        let http = reqwest::Client::new();
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for (turn, name) in names.iter().cycle().enumerate() {
            if stop.is_cancelled() {
                break;
            }
            pace.tick().await;
            let delay = DELAYS[(turn / names.len()) % DELAYS.len()];
            let _still = self.clock.read().await;
            let now = self.hands.now();
            let Some(keys) = self.mounts.shown(name, now - delay) else { continue };
            let newest = self.mounts.shown(name, now);
            let accepted = works(&http, &keys).await?;
            self.tally(|tally| {
                tally.asked += 1;
                if newest.as_ref() != Some(&keys) {
                    *tally.outdated.entry(name.clone()).or_default() += 1;
                }
                if !accepted {
                    tally.refused.push(format!("{name}, {delay:#} behind, at {now}"));
                }
            });
        }
        Ok(())
    }

    fn tally<T>(&self, work: impl FnOnce(&mut Tally) -> T) -> T {
        work(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Fleet {
    timed: Timed,
    users: Users,
    names: Vec<String>,
    /// The full hour that is next.
    next: Timestamp,
    kills: usize,
    withdrawn: usize,
}

impl Fleet {
    async fn new() -> Result<Self> {
        let timed = Timed::with("in-use", variations()).await?;
        let home = timed.world.home.name();
        let names: Vec<String> = (0..APPLICATIONS).map(|number| format!("app-{number}")).collect();
        let apply = names.iter().enumerate().map(|(number, name)| {
            let rotation = match number % 3 {
                0 => "interval: 50m, overlap: 20m",
                1 => "interval: 50m, overlap: 20m, window: {schedule: '0 * * * *', duration: 30m}",
                _ => "overlap: 20m",
            };
            let more = format!("  rotation: {{{rotation}}}\n");
            let timed = &timed;
            async move { timed.world.confidential(home, name, &more).await }
        });
        try_join_all(apply).await?;
        let hours = 2 + extapp::clock::now().as_second() / 3_600;
        let next = Timestamp::from_second(hours * 3_600).map_err(Error::new)?;
        let users = Users {
            mounts: Mounts::default(),
            hands: timed.hands.clone(),
            clock: Arc::default(),
            tally: Arc::default(),
        };
        let fleet = Self { timed, users, names, next, kills: 0, withdrawn: 0 };
        let ready = |_: &str, status: &ExternalApplicationStatus| crate::support::world::ready(&status.conditions);
        fleet.until("all are Ready", ready).await?;
        Ok(fleet)
    }

    async fn applications(&self) -> Result<Vec<ExternalApplication>> {
        let world = &self.timed.world;
        Ok(world.applications(world.home.name()).list(&ListParams::default()).await?.items)
    }

    /// Waits until this is so of all of them.
    async fn until(&self, what: &str, holds: impl Fn(&str, &ExternalApplicationStatus) -> bool) -> Result<()> {
        self.until_within(what, LIMIT, holds).await
    }

    async fn until_within(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&str, &ExternalApplicationStatus) -> bool,
    ) -> Result<()> {
        let all = async || {
            let applications = self.applications().await?;
            let is_so =
                |app: &&ExternalApplication| app.status.as_ref().is_some_and(|status| holds(&app.name_any(), status));
            match applications.iter().find(|app| !is_so(app)) {
                None => Ok(Some(())),
                Some(app) => Err(Error::new(format!("{}: {:?}", app.name_any(), app.status))),
            }
        };
        eventually(what, limit, all).await
    }

    /// Waits until those who use the secrets have heard of every change: a clock that moves in between would let them lag
    /// behind for longer than they mean to.
    async fn heard(&self) -> Result<()> {
        let world = &self.timed.world;
        let heard = async || {
            for name in &self.names {
                let keys = super::keys(world, name).await?;
                if self.users.mounts.shown(name, self.timed.hands.now()) != Some(keys) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        };
        eventually("all changes are heard of", LIMIT, heard).await
    }

    async fn move_to(&self, time: Timestamp) -> Result<()> {
        self.heard().await?;
        let still = self.users.clock.write().await;
        let by = time.duration_since(self.timed.hands.now());
        let moved = self.timed.forward(by).await;
        drop(still);
        moved
    }

    /// Kills the operator whenever some more secrets have been made.
    async fn kill_repeatedly(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            let before = made_of(&self.timed.world)?;
            let more = async || Ok((made_of(&self.timed.world)? > before + APPLICATIONS / 8).then_some(()));
            // Towards the end there may not be so many more.
            let _ = eventually("some more secrets are made", Duration::from_secs(3), more).await;
            self.timed.kill();
            self.kills += 1;
            self.timed.start().await?;
        }
        Ok(())
    }

    async fn disturb(&mut self, hour: Hour) -> Result<()> {
        match hour {
            Hour::Undisturbed | Hour::Failed => Ok(()),
            Hour::Killed => self.kill_repeatedly(3).await,
            Hour::FailedAndKilled => self.kill_repeatedly(1).await,
            Hour::Stopped => {
                self.timed.stop().await?;
                self.timed.start().await
            }
        }
    }

    /// One hour in which all are due, by schedule, in their window, or because somebody asks.
    async fn pass(&mut self, number: usize, hour: Hour) -> Result<()> {
        let fails = matches!(hour, Hour::Failed | Hour::FailedAndKilled);
        if fails {
            lag(&self.timed.world).await?;
        }
        let before: BTreeMap<String, Vec<String>> = self.applications().await?.iter().map(active).collect();
        let due = self.next + SignedDuration::from_mins(10);
        self.move_to(due).await?;
        for name in self.names.iter().skip(2).step_by(3) {
            self.timed.world.annotate(name, ROTATE, &format!("hour-{number}")).await?;
        }
        self.disturb(hour).await?;
        if fails {
            return self.fail(due).await;
        }
        let replaced = |name: &str, status: &ExternalApplicationStatus| {
            let now = active_of(status);
            now.len() == 1 && before.get(name) != Some(&now) && says(status) == Some(("True", "Rotated"))
        };
        self.until(&format!("all are rotated, {hour:?}"), replaced).await?;
        self.outlast(self.timed.hands.now()).await
    }

    /// Lets the overlap pass, up to its end with those who still have what was published before.
    async fn outlast(&mut self, published: Timestamp) -> Result<()> {
        let outdated = self.users.tally(|tally| tally.outdated.clone());
        self.move_to(published + OVERLAP - SignedDuration::from_mins(2)).await?;
        let used = async || {
            let more = |name: &String| {
                let now = self.users.tally(|tally| tally.outdated.get(name).copied());
                now.unwrap_or_default() > outdated.get(name).copied().unwrap_or_default()
            };
            Ok(self.names.iter().all(more).then_some(()))
        };
        eventually("every secret was used after it was replaced", LIMIT, used).await?;
        self.move_to(published + OVERLAP + SignedDuration::from_mins(5)).await?;
        self.until("the secrets before are gone", |_, status| status.credentials.len() == 1).await?;
        self.next += SignedDuration::from_hours(1);
        Ok(())
    }

    async fn fail(&mut self, began: Timestamp) -> Result<()> {
        self.until("all are being proven", |_, status| says(status) == Some(("False", "Proving"))).await?;
        let withdrawn = |_: &str, status: &ExternalApplicationStatus| says(status) == Some(("False", "ProofFailed"));
        // A pass that the clock moved under takes too long to be reported, and the next one begins anew.
        for minutes in [10, 20, 30] {
            self.move_to(began + SignedDuration::from_mins(minutes)).await?;
            if self.until_within("all are withdrawn", Duration::from_secs(20), withdrawn).await.is_ok() {
                break;
            }
        }
        self.until("all are withdrawn", withdrawn).await?;
        self.withdrawn += self.names.len();
        self.timed.world.cloud.countermand().await?;
        // Nothing but a request makes another one within the hour.
        self.next += SignedDuration::from_hours(2);
        Ok(())
    }

    async fn nothing_is_left(&self) -> Result<()> {
        for app in self.applications().await? {
            let secrets = at_server(&self.timed.world, &app.name_any()).await?;
            assert_eq!(secrets, listed(&app, CredentialState::Active), "{}", app.name_any());
        }
        Ok(())
    }
}

fn active(app: &ExternalApplication) -> (String, Vec<String>) {
    (app.name_any(), app.status.as_ref().map(active_of).unwrap_or_default())
}

fn active_of(status: &ExternalApplicationStatus) -> Vec<String> {
    let active = status.credentials.iter().filter(|credential| credential.state == CredentialState::Active);
    active.map(|credential| credential.id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_a_loop_is_never_refused_through_two_hundred_rotations_however_they_go() -> Result<()> {
    let mut fleet = Fleet::new().await?;
    let world = &fleet.timed.world;
    let (users, stop) = (fleet.users.clone(), CancellationToken::new());
    let following = tokio::spawn(users.mounts.clone().follow(world.secrets(world.home.name()), users.hands.clone()));
    let halves = fleet.names.chunks(APPLICATIONS / 2);
    let asking: Vec<_> = halves.map(|names| tokio::spawn(users.clone().ask(names.to_vec(), stop.clone()))).collect();
    for (number, hour) in HOURS.into_iter().enumerate() {
        fleet.pass(number, hour).await?;
    }
    fleet.heard().await?;
    stop.cancel();
    for asking in asking {
        asking.await??;
    }
    following.abort();
    fleet.nothing_is_left().await?;
    let rotations = users.mounts.changes();
    let text = users.tally(|tally| {
        let outdated: usize = tally.outdated.values().sum();
        let (asked, refused) = (tally.asked, tally.refused.len());
        format!(
            "{rotations} rotations and {} withdrawn, the operator killed {} times; {asked} token requests, {outdated} of them with a secret that had been replaced, {refused} refused",
            fleet.withdrawn, fleet.kills
        )
    });
    // The test harness captures the print macros, and the numbers are for whoever reads the run.
    let _ = writeln!(std::io::stderr(), "{text}");
    assert!(rotations >= 200, "{text}");
    let refused = users.tally(|tally| tally.refused.clone());
    assert!(refused.is_empty(), "{text}: {refused:?}");
    Ok(())
}
