//! Doing: one step after the other, each durable before the next. The first failure ends the pass; what is missing is
//! planned again from what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::restart;
use crate::api::ExternalApplication;
use crate::api::external_application::{CredentialState, CredentialStatus, OutputKind};
use crate::controller::Context;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found, say};
use crate::controller::servers::{Connection, Server, finding};
use crate::domain::credentials::{self, Current, Left};
use crate::domain::federation;
use crate::domain::observed::{FINALIZER, Finding, Observed, RegistrationSeen, Retry, status_client_id};
use crate::domain::plan::{Plan, Standing, Step};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, Credential, Registered, Scope, SecretId};
use crate::domain::renewal;
use crate::domain::rotation::Due;
use crate::domain::rotation::kept::SeenKept;
use crate::domain::rotation::report::Progress;
use crate::domain::status::{Achieved, Outcome};
use crate::domain::validate::Valid;
use crate::server::{AuthorizationServer as _, ServerError};

mod federate;
mod publish;
mod register;
mod rotate;

use publish::standing_binding;
use register::Recorded;
pub use rotate::tidy;

/// How a step ended when it did not succeed.
enum Halt {
    /// The plan rests on something that is no longer so: look again.
    Stale,
    /// All is well, and the rest of the plan has time.
    NotYet,
    Because(Finding),
    /// The Kubernetes API refuses to have one object written.
    Unwritable(Finding),
}

/// A pass under way.
struct Pass<'a> {
    app: &'a ExternalApplication,
    valid: &'a Valid,
    seen: &'a Observed,
    server: &'a Server,
    ctx: &'a Context,
    connection: Arc<Connection>,
    client_id: Option<ClientId>,
    secret: Option<(SecretId, ClientSecret)>,
    current: Option<Current>,
    removed: Vec<SecretId>,
    strays: Vec<SecretId>,
    granted: Option<BTreeSet<Scope>>,
    binding: Option<String>,
    /// Outputs that are still to be written.
    unwritten: usize,
    /// Objects as this pass has written them.
    wrote: BTreeMap<(OutputKind, String), Standing>,
    /// Those that are once the next secret is proven.
    replacing: usize,
    /// The next secret once it is accepted, until it is in the first object.
    accepted: Option<Current>,
    /// What could not be done and kept nothing else from being done: a secret that was not removed, an object that was not
    /// written.
    undone: Option<Finding>,
    /// A secret that this pass had made, and which is not published yet.
    next: Option<(Current, ClientSecret)>,
    /// What is kept for a rotation.
    kept: Option<SeenKept>,
    progress: Progress,
    restarts: Option<crate::domain::restarts::Outcome>,
    /// What the registration has of federated credentials.
    federated: federation::Left,
    /// The rotation that the secret of this pass completes.
    replaces: Option<Due>,
    began: Timestamp,
    recorded: Option<Recorded>,
    /// What is said of a registration that this pass has made, once it is known what was written.
    made: Option<(Tone, Reason, String)>,
}

pub async fn execute(
    app: &ExternalApplication,
    valid: Valid,
    plan: Plan,
    seen: &Observed,
    server: &Server,
    ctx: &Context,
    began: Timestamp,
) -> Outcome {
    let Some(connection) = server.connection() else { return Outcome::Silent };
    let Plan { steps, client_id, secret, strays, drift, progress, replaces } = plan;
    let current = secret.as_ref().map(|(id, _)| Current::known_as(id.clone()));
    let (unwritten, replacing) = to_write(&steps);
    let mut pass = Pass {
        app,
        valid: &valid,
        seen,
        server,
        ctx,
        connection,
        client_id,
        secret,
        current,
        removed: Vec::new(),
        strays,
        granted: granted_before(&valid, seen),
        binding: None,
        unwritten,
        replacing,
        wrote: BTreeMap::new(),
        accepted: None,
        undone: None,
        next: None,
        kept: seen.kept.clone(),
        progress,
        restarts: None,
        federated: federate::before(seen),
        replaces,
        began,
        recorded: None,
        made: None,
    };
    let halt = pass.all(steps).await;
    if let Some(id) = adopted(app, pass.client_id.as_ref(), &valid) {
        pass.say(Tone::Normal, Reason::Adopted, &format!("{id} is kept in line with this object from now on"));
    }
    if let Some((tone, reason, note)) = pass.made.take() {
        pass.say(tone, reason, &note);
    }
    let mut achieved = pass.achieved();
    achieved.drift = drift;
    match halt {
        None => match renewal::ended(&valid, &achieved.credentials, ctx.now()) {
            None => Outcome::carried_out(valid, achieved),
            Some(finding) => Outcome::Failed { valid: Box::new(valid), achieved, finding },
        },
        Some(Halt::Stale | Halt::NotYet) => stale(app, valid, achieved),
        Some(Halt::Because(finding) | Halt::Unwritable(finding)) => {
            Outcome::Failed { valid: Box::new(valid), achieved, finding }
        }
    }
}

/// Somebody else was faster: looks again, without a word where nothing is known that a status does not say.
fn stale(app: &ExternalApplication, valid: Valid, achieved: Achieved) -> Outcome {
    if !is_news(app, &achieved) {
        return Outcome::Silent;
    }
    let message = "something changed meanwhile; looking again";
    let finding = Finding::passing(Reason::Progressing, message, Retry::After(Duration::from_millis(200)));
    Outcome::Failed { valid: Box::new(valid), achieved, finding }
}

/// How many objects are written with the secret that is current, and how many with the next.
fn to_write(steps: &[Step]) -> (usize, usize) {
    let count = |is: fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count();
    (count(|step| matches!(step, Step::Publish { .. })), count(|step| matches!(step, Step::Replace { .. })))
}

/// The registration that this pass has begun to stand for because the spec asks for it.
fn adopted<'a>(app: &ExternalApplication, id: Option<&'a ClientId>, valid: &Valid) -> Option<&'a ClientId> {
    let news = id.filter(|id| status_client_id(app).as_ref() != Some(id));
    news.filter(|_| app.spec.adopt.is_some() && !valid.observe_only)
}

/// Whether a pass has taken longer than any may: only one that was stopped from outside gets there.
pub fn is_late(began: Timestamp, ctx: &Context) -> bool {
    Duration::try_from(ctx.now().duration_since(began)).is_ok_and(|taken| taken >= crate::controller::run::PASS)
}

/// Whether the pass has learnt of a registration or a credential that the status does not name yet. The secret that is to be
/// published is none: it is kept.
fn is_news(app: &ExternalApplication, achieved: &Achieved) -> bool {
    let status = app.status.as_ref();
    let known = status.and_then(|status| status.client_id.as_deref());
    let credentials = status.map_or(&[][..], |status| &status.credentials);
    let named = |id: &str| credentials.iter().any(|credential| credential.id == id);
    achieved.client_id.as_ref().is_some_and(|id| known != Some(id.as_str()))
        || achieved.credentials.iter().any(|one| one.state != CredentialState::Pending && !named(&one.id))
}

/// The scopes that the registration is known to have before anything is done.
fn granted_before(valid: &Valid, seen: &Observed) -> Option<BTreeSet<Scope>> {
    match &seen.registration {
        RegistrationSeen::Present(actual) => Some(actual.scopes.clone()),
        RegistrationSeen::Unread(_) => None,
        RegistrationSeen::Unsettled { .. } if valid.taken_over.is_some() => Some(valid.desired.scopes.clone()),
        _ => Some(BTreeSet::new()),
    }
}

impl Pass<'_> {
    /// Carries the steps out, until one fails.
    async fn all(&mut self, steps: Vec<Step>) -> Option<Halt> {
        let mut proven = true;
        for step in steps {
            // A secret that is not accepted yet keeps nothing else from being done.
            if !proven && !matches!(step, Step::Federate(_)) {
                continue;
            }
            match self.step(step).await {
                Ok(()) => {}
                Err(Halt::NotYet) => proven = false,
                Err(halt) => return Some(halt),
            }
        }
        // How soon a secret is tried again does not depend on what else fails.
        self.undone.take().filter(|_| proven).map(Halt::Because)
    }

    fn uid(&self) -> &str {
        &self.valid.uid
    }

    fn say(&self, tone: Tone, reason: Reason, note: &str) {
        self.ctx.events.publish(self.app, tone, reason, note);
    }

    /// What the status lists.
    fn listed(&self) -> &[CredentialStatus] {
        self.app.status.as_ref().map_or(&[], |status| &status.credentials)
    }

    fn achieved(self) -> Achieved {
        let old = self.app.status.as_ref().map_or(&[][..], |status| &status.credentials);
        let same = self.app.status.as_ref().and_then(|status| status.client_id.as_deref())
            == self.client_id.as_ref().map(ClientId::as_str);
        // The secrets of a registration that is gone went with it.
        let old = if same || self.client_id.is_none() { old } else { &[] };
        let detail = match &self.seen.registration {
            RegistrationSeen::Present(actual) => Some(&**actual),
            _ => None,
        };
        let pending = self.pending();
        let current = self.current.map(|current| with_times(current, detail));
        let (overlap, now) = (self.valid.rotation.overlap(), self.ctx.now());
        let federated = federation::after(self.app, old, &self.valid.trusts, &self.federated, overlap, now);
        let left = Left {
            current: current.as_ref(),
            pending: pending.as_ref(),
            removed: &self.removed,
            strays: &self.strays,
            overlap: self.progress.overlap(&self.valid.rotation),
            keeps_secret: self.valid.keeps_secret(),
            holders: self.seen.holders,
            now: self.ctx.now(),
        };
        Achieved {
            credentials: federate::beside(credentials::after(old, &left), federated),
            rotation: self.progress,
            restarts: self.restarts,
            kept: self.kept,
            client_id: self.client_id,
            granted: self.granted,
            binding: self.binding.or_else(|| standing_binding(self.app, self.valid, self.seen)),
            published: self.unwritten == 0 && (!self.valid.keeps_secret() || self.secret.is_some()),
            drift: Vec::new(),
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), Halt> {
        // A process that was stopped and goes on must not finish what another one has taken over since.
        if is_late(self.began, self.ctx) {
            return Err(Halt::Stale);
        }
        match step {
            Step::Guard => self.kubernetes(self.ctx.kubernetes().guard(self.app, FINALIZER, None).await.map(|_| ())),
            Step::RecordIntent(intent) => self.record(intent).await,
            Step::Register => self.register().await,
            Step::TakeOver(id) => self.take_over(&id),
            Step::Update { id, differences } => {
                let fields: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
                self.update(&id, &fields.join(", ")).await
            }
            Step::AddSecret(id) => self.add_secret(&id).await,
            Step::Renew(id) => self.renew(&id).await,
            Step::AddNext { id, keep } => self.add_next(&id, &keep).await,
            Step::Keep(keep) => self.keep_for_rotation(keep).await,
            Step::Prove { trigger, request, since } => self.prove(trigger, request, since).await,
            Step::Complete { trigger, request } => {
                self.complete(trigger, request);
                Ok(())
            }
            Step::Replace { output, over } => self.replace(&output, over.as_ref()).await,
            Step::Publish { output, over } => {
                let written = self.publish(&output, over.as_ref()).await;
                self.or_later(written)
            }
            Step::RemoveOutput(output) => self.remove(&output).await,
            Step::RetireSecret { id, secret } => self.retire(&id, secret).await,
            Step::Restart(decision) => {
                self.restarts = Some(restart::carry_out(self.app, decision, self.ctx, self.began).await);
                Ok(())
            }
            Step::Federate(change) => self.federate(change).await,
            Step::Await(finding) => Err(Halt::Because(finding)),
        }
    }

    async fn update(&mut self, id: &ClientId, fields: &str) -> Result<(), Halt> {
        let updated = self.connection.client.update(id, &self.valid.desired).await;
        let replaced = updated.map_err(|error| self.server_failed(&error))?;
        self.granted = Some(self.valid.desired.scopes.clone());
        let seen_before = self.app.status.as_ref().and_then(|status| status.observed_generation);
        if self.app.spec.adopt.is_none() && seen_before == self.app.metadata.generation {
            self.say(
                Tone::Warning,
                Reason::DriftCorrected,
                &format!("{fields} had been changed at the server and is set right"),
            );
        } else {
            self.say(Tone::Normal, Reason::Updated, &format!("changed {fields}"));
        }
        self.replaced(id, replaced, "the server replaced the secret with the change")
    }

    /// A server may make another secret of its own accord: then what comes next in the plan speaks of the one before.
    fn replaced(&mut self, id: &ClientId, credential: Option<Credential>, note: &str) -> Result<(), Halt> {
        let Some(credential) = credential else { return Ok(()) };
        self.keep(id, credential, &[]);
        self.say(Tone::Normal, Reason::SecretReplaced, note);
        Err(Halt::Stale)
    }

    /// Where the server does not renew, nothing is sent, or nothing comes of it.
    async fn renew(&mut self, id: &ClientId) -> Result<(), Halt> {
        let renewed = self.connection.client.update(id, &self.valid.desired).await;
        let renewed = renewed.map_err(|error| self.server_failed(&error))?;
        self.replaced(id, renewed, "the server renewed the secret before its end")
    }

    async fn add_secret(&mut self, id: &ClientId) -> Result<(), Halt> {
        let marker = credentials::marker(self.uid());
        let credential = match self.connection.client.add_secret(id, &marker).await {
            Ok(credential) => credential,
            // There may be one more secret now, and one more for every further try: not soon, and not often.
            Err(ServerError::Ambiguous) => {
                let message = "the answer to a new secret was lost; another one is made";
                return Err(Halt::Because(Finding::passing(Reason::OutcomeUnknown, message, Retry::Backoff)));
            }
            Err(error) => return Err(self.server_failed(&error)),
        };
        self.keep(id, credential, &[]);
        let because = self.replaces.as_ref().map(|due| format!(" ({})", due.trigger.as_str())).unwrap_or_default();
        self.say(Tone::Normal, Reason::SecretReplaced, &format!("a new secret was added{because}"));
        if let Some((Due { trigger, request, .. }, current)) = self.replaces.take().zip(self.current.as_ref()) {
            self.progress = Progress::Publishing { id: current.id.clone(), trigger, request };
        }
        Ok(())
    }

    fn server_failed(&self, error: &ServerError) -> Halt {
        if self.server.report(error) {
            self.ctx.wake_server(&self.server.key);
        }
        Halt::Because(finding(error))
    }

    #[allow(clippy::unused_self)]
    fn kubernetes(&self, done: kube::Result<()>) -> Result<(), Halt> {
        done.map_err(|error| {
            if is_conflict(&error) || is_not_found(&error) {
                return Halt::Stale;
            }
            Halt::Because(Finding::passing(Reason::KubernetesRefused, say(&error), Retry::Backoff))
        })
    }
}

fn with_times(mut current: Current, detail: Option<&Registered>) -> Current {
    let known = detail.and_then(|detail| detail.secrets.iter().find(|secret| secret.id == current.id));
    if let Some(known) = known {
        current.created_at = current.created_at.or(known.created_at);
        current.expires_at = current.expires_at.or(known.expires_at);
    }
    current
}
