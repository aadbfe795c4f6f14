//! A small world for the properties: a server with registrations, a cluster with objects, and an interpreter that
//! carries plans out as far as it is told to.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::api::PENDING;
use crate::domain::credentials::{self, Current, Left, marker};
use crate::domain::fixtures::NOON;
use crate::domain::observed::{FINALIZER, Finding, Held, Retry, observes, status_client_id};
use crate::domain::reason::Reason;
use crate::domain::registration::{Desired, Mark, SecretInfo};
use crate::domain::rotation::kept::SeenKept;
use crate::domain::status::{Achieved, Outcome, application};
use crate::domain::validate::validate;

mod publishing;
mod reporting;
mod rotating;
mod seeing;

/// A registration, the values of its secrets, and whether one of our creates made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub actual: Registered,
    values: BTreeMap<SecretId, String>,
    pub ours: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    uid: String,
    version: String,
    pub ours: bool,
    pub data: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// How a pass ends before its plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The process ends: what it held in memory is lost, and no status is written.
    Crash,
    /// The same, with the next step's effect at the server.
    CrashAfterEffect,
    /// The next step fails.
    Failure,
    /// The next step takes effect, but its answer is lost.
    LostAnswer,
}

/// How the server keeps secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Several, which are shown once; and registrations do not say whose they are.
    Several,
    /// One, which is shown once. Registrations say whose they are.
    One,
    /// One, which is shown again. Registrations say whose they are.
    OneShown,
}

#[derive(Clone)]
pub struct World {
    pub keeping: Keeping,
    pub now: Timestamp,
    pub app: ExternalApplication,
    pub registrations: BTreeMap<ClientId, Registration>,
    pub objects: BTreeMap<(OutputKind, String), Object>,
    /// Everything that was ever published.
    pub backup: Vec<((OutputKind, String), Object)>,
    held: Option<(ClientId, Held)>,
    pub kept: Option<SeenKept>,
    /// Until when the token endpoint refuses secrets that were made since.
    pub lags: Option<(Timestamp, Timestamp)>,
    /// Whether a secret was published in haste.
    unproven: bool,
    identity: String,
    count: u32,
    /// Whether passes look closely at the registration.
    pub suspect: bool,
    /// A scope that the server's catalogue does not have.
    pub unknown: Option<&'static str>,
}

/// A pass under way.
struct Pass<'a> {
    valid: &'a Valid,
    client_id: Option<ClientId>,
    secret: Option<(SecretId, ClientSecret)>,
    current: Option<Current>,
    removed: Vec<SecretId>,
    unwritten: usize,
    replacing: usize,
    accepted: Option<Current>,
    wrote: BTreeMap<(OutputKind, String), (String, String)>,
    next: Option<(SecretId, String)>,
    kept: Option<SeenKept>,
    progress: Progress,
    replaces: Option<Due>,
    /// Whether the rest of the plan has time.
    not_yet: bool,
}

impl World {
    pub fn new(app: ExternalApplication, keeping: Keeping) -> Self {
        Self {
            keeping,
            now: NOON,
            app,
            registrations: BTreeMap::new(),
            objects: BTreeMap::new(),
            backup: Vec::new(),
            held: None,
            kept: None,
            lags: None,
            unproven: false,
            identity: "me-0".into(),
            count: 0,
            suspect: true,
            unknown: None,
        }
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    pub fn restart(&mut self) {
        self.held = None;
        self.identity = format!("me-{}", self.next());
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// A registration of these facts, with one secret where it can keep one.
    pub fn create(&mut self, wanted: &Desired, ours: bool) -> ClientId {
        let id = ClientId::new(format!("id-{}", self.next()));
        let actual = Registered {
            client_id: id.clone(),
            display_name: wanted.display_name.clone(),
            client_type: wanted.client_type,
            redirect_uris: wanted.redirect_uris.clone(),
            scopes: wanted.scopes.clone(),
            secrets: Vec::new(),
            grant_types: None,
            settings: wanted.settings.clone(),
            owner: match (self.keeping, ours) {
                (Keeping::Several, _) => Mark::Unsupported,
                (_, true) => Mark::Uid(wanted.owner.uid.clone()),
                (_, false) => Mark::Absent,
            },
        };
        self.registrations.insert(id.clone(), Registration { actual, values: BTreeMap::new(), ours });
        if wanted.client_type == crate::domain::registration::ClientType::Confidential {
            self.add_secret(&id, None);
        }
        id
    }

    pub fn add_secret(&mut self, id: &ClientId, description: Option<&str>) -> (SecretId, String) {
        let (secret, value) = (SecretId::new(self.next().to_string()), format!("value-{}", self.next()));
        let created_at = Some(self.now);
        let shown = self.keeping == Keeping::OneShown;
        let registration = self.registrations.get_mut(id).expect("a registration that was seen");
        if self.keeping != Keeping::Several {
            registration.actual.secrets.clear();
            registration.values.clear();
        }
        registration.actual.secrets.push(SecretInfo {
            id: secret.clone(),
            description: description.map(Into::into),
            created_at,
            expires_at: None,
            value: shown.then(|| std::sync::Arc::new(ClientSecret::new(&value))),
        });
        registration.values.insert(secret.clone(), value.clone());
        (secret, value)
    }

    pub fn remove_secret(&mut self, id: &ClientId, secret: &SecretId) {
        let Some(registration) = self.registrations.get_mut(id) else { return };
        let current = registration.values.contains_key(secret);
        assert!(self.keeping == Keeping::Several || !current, "the one secret of a registration was revoked");
        registration.actual.secrets.retain(|known| known.id != *secret);
        registration.values.remove(secret);
    }

    /// Whether some object of ours carries a secret that the server takes.
    pub fn authenticates(&self) -> bool {
        let uid = self.app.metadata.uid.as_deref().unwrap_or_default();
        self.objects.iter().any(|((kind, name), object)| {
            let seen = object.seen(*kind, name);
            let secret = seen.client_id().and_then(|id| Some((seen.intact_secret(uid, &id)?, id)));
            secret.is_some_and(|((secret, value), id)| self.accepts(&id, &secret, value.expose()))
        })
    }

    /// When a rotation was last said to be done.
    pub fn last_rotation(&self) -> Option<Timestamp> {
        Some(self.app.status.as_ref()?.rotation.as_ref()?.last_time.as_ref()?.0)
    }

    /// Whether an object carries the secret that the status calls active.
    pub fn publishes_what_it_says(&self) -> bool {
        let uid = self.app.metadata.uid.as_deref().unwrap_or_default();
        let credentials = self.app.status.as_ref().map_or(&[][..], |status| &status.credentials);
        let active = crate::domain::rotation::current(credentials).map(|credential| SecretId::new(&credential.id));
        self.objects.iter().any(|((kind, name), object)| {
            let seen = object.seen(*kind, name);
            let secret = seen.client_id().and_then(|id| seen.intact_secret(uid, &id));
            secret.map(|(id, _)| id) == active
        })
    }

    /// One pass, cut short after so many steps. Gives back the number of steps of the plan, or what stood in its way.
    pub fn pass(&mut self, cut: Option<(usize, Cut)>) -> Result<usize, Finding> {
        let seen = self.observe();
        let valid = match validate(&self.app, &seen, self.now) {
            Ok(valid) => valid,
            Err(refusal) => {
                let outcome = Outcome::Refused { finding: refusal.finding.clone(), scopes: refusal.scopes };
                self.app.status = application(&self.app, &seen, &outcome, self.now);
                return Err(refusal.finding);
            }
        };
        let identity = self.identity.clone();
        let plan = plan(&self.app, &valid, &seen, Circumstances { identity: &identity, now: self.now });
        let Plan { steps, client_id, secret, strays, drift, progress, replaces } = plan;
        let planned = steps.len();
        let mut pass = Pass {
            valid: &valid,
            client_id,
            current: secret.as_ref().map(|(id, _)| Current::known_as(id.clone())),
            secret,
            removed: Vec::new(),
            unwritten: steps.iter().filter(|step| matches!(step, Step::Publish { .. })).count(),
            replacing: steps.iter().filter(|step| matches!(step, Step::Replace { .. })).count(),
            accepted: None,
            wrote: BTreeMap::new(),
            next: None,
            kept: self.kept.clone(),
            progress,
            replaces,
            not_yet: false,
        };
        let mut halted = None;
        for (index, step) in steps.into_iter().enumerate() {
            if let Some((after, how)) = cut
                && index == after
            {
                halted = Some(how);
                self.cut_short(&mut pass, step, how);
                break;
            }
            self.guarded_step(&mut pass, step);
            if pass.not_yet {
                break;
            }
        }
        if matches!(halted, Some(Cut::Crash | Cut::CrashAfterEffect)) {
            self.restart();
            return Ok(planned);
        }
        let achieved = self.achieved(pass, &strays, drift);
        let finding = || Finding::passing(Reason::ServerFailed, "cut short", Retry::Backoff);
        let outcome = match halted {
            None => Outcome::carried_out(valid, achieved),
            Some(_) => Outcome::Failed { valid: Box::new(valid), achieved, finding: finding() },
        };
        self.app.status = application(&self.app, &seen, &outcome, self.now);
        self.tidy(&outcome);
        Ok(planned)
    }

    /// A step, after which workloads can authenticate if they could before, and Observe has changed no registration.
    fn guarded_step(&mut self, pass: &mut Pass<'_>, step: Step) {
        let (could, before) = (self.authenticates(), observes(&self.app).then(|| self.registrations.clone()));
        let what = format!("{step:?}");
        // Where there is room for one, a rotation ends the old one before the new one can be published.
        let gap = matches!(step, Step::AddSecret(_)) && pass.replaces.is_some();
        self.step(pass, step);
        assert!(!could || gap || self.unproven || self.authenticates(), "nothing authenticates any more after {what}");
        assert!(before.is_none_or(|before| before == self.registrations), "Observe changed the server by {what}");
    }

    fn cut_short(&mut self, pass: &mut Pass<'_>, step: Step, how: Cut) {
        match (step, how) {
            (Step::Register, Cut::Failure) => {
                // The server refused: nothing was made, and that is known.
                self.app.metadata.annotations.get_or_insert_default().remove(PENDING);
            }
            (_, Cut::Crash | Cut::Failure) => {}
            (step, Cut::CrashAfterEffect | Cut::LostAnswer) => {
                let mut unaware = Pass {
                    valid: pass.valid,
                    client_id: pass.client_id.clone(),
                    secret: pass.secret.as_ref().map(|(id, value)| (id.clone(), ClientSecret::new(value.expose()))),
                    current: None,
                    removed: Vec::new(),
                    unwritten: pass.unwritten,
                    replacing: pass.replacing,
                    accepted: pass.accepted.clone(),
                    wrote: pass.wrote.clone(),
                    next: pass.next.clone(),
                    kept: pass.kept.clone(),
                    progress: Progress::Rest,
                    replaces: pass.replaces.clone(),
                    not_yet: false,
                };
                let held = self.held.clone();
                self.guarded_step(&mut unaware, step);
                self.held = held;
            }
        }
    }

    fn step(&mut self, pass: &mut Pass<'_>, step: Step) {
        match step {
            Step::Restart(decision) => panic!("nobody asks for restarts here: {decision:?}"),
            Step::Guard => self.guard(),
            Step::RecordIntent(intent) => {
                self.guard();
                let text = serde_json::to_string(&intent).expect("json");
                self.app.metadata.annotations.get_or_insert_default().insert(PENDING.into(), text);
            }
            Step::Register => {
                let id = self.create(&pass.valid.desired, true);
                let initial =
                    self.registrations[&id].values.iter().next().map(|(id, value)| (id.clone(), value.clone()));
                if let Some((secret, value)) = initial {
                    self.keep(pass, &id, secret, &value);
                }
                pass.client_id = Some(id);
            }
            Step::TakeOver(id) => assert!(self.registrations[&id].ours, "took over a registration of others"),
            Step::Update { id, .. } => {
                let registration = self.registrations.get_mut(&id).expect("a registration that was seen");
                let wanted = &pass.valid.desired;
                registration.actual.display_name.clone_from(&wanted.display_name);
                registration.actual.redirect_uris.clone_from(&wanted.redirect_uris);
                registration.actual.scopes.clone_from(&wanted.scopes);
                if self.keeping != Keeping::Several {
                    registration.actual.owner = Mark::Uid(wanted.owner.uid.clone());
                }
            }
            Step::Renew(id) => assert!(self.registrations.contains_key(&id), "renewed what is not there"),
            Step::AddSecret(id) => {
                if self.keeping != Keeping::Several {
                    let before = self.app.status.iter().flat_map(|status| &status.credentials);
                    pass.removed.extend(before.map(|credential| SecretId::new(&credential.id)));
                }
                let (secret, value) = self.add_secret(&id, Some(&marker(&pass.valid.uid)));
                self.keep(pass, &id, secret, &value);
                if let Some((Due { trigger, request, .. }, current)) = pass.replaces.take().zip(pass.current.as_ref()) {
                    pass.progress = Progress::Publishing { id: current.id.clone(), trigger, request };
                }
            }
            Step::AddNext { .. }
            | Step::Keep(_)
            | Step::Prove { .. }
            | Step::Replace { .. }
            | Step::Complete { .. } => self.rotate(pass, step),
            Step::Publish { output, over } => self.publish(pass, &output, over.as_ref()),
            Step::RemoveOutput(output) => {
                let gone = self.objects.remove(&(output.kind, output.name)).expect("an object that was seen");
                assert!(gone.ours && gone.uid == output.uid, "removed an object of others");
            }
            Step::Federate(_) | Step::Await(_) => {}
            Step::RetireSecret { id, secret } => {
                self.remove_secret(&id, &secret);
                pass.removed.push(secret);
            }
        }
    }
}
