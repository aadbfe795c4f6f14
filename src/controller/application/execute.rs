//! Doing: one step after the other, each durable before the next. The first failure ends the pass; what is missing is
//! planned again from what is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::controller::Context;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found, is_terminating, say};
use crate::controller::servers::{Connection, Server, finding};
use crate::domain::credentials::{self, Current};
use crate::domain::observed::{FINALIZER, Finding, Observed, OutputRef, RegistrationSeen, Retry, status_client_id};
use crate::domain::outputs::{Key, ResolvedOutput, render};
use crate::domain::plan::{Plan, Standing, Step};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, Credential, Registered, Scope, SecretId};
use crate::domain::renewal;
use crate::domain::status::{Achieved, Outcome};
use crate::domain::validate::Valid;
use crate::server::{AuthorizationServer as _, ServerError};

mod register;

use register::Recorded;

/// How a step ended when it did not succeed.
enum Halt {
    /// The plan rests on something that is no longer so: look again.
    Stale,
    Because(Finding),
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
    let Plan { steps, client_id, secret, strays, drift } = plan;
    let current = secret.as_ref().map(|(id, _)| Current { id: id.clone(), created_at: None, expires_at: None });
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
        unwritten: steps.iter().filter(|step| matches!(step, Step::Publish { .. })).count(),
        began,
        recorded: None,
        made: None,
    };
    let mut halt = None;
    for step in steps {
        if let Err(reason) = pass.step(step).await {
            halt = Some(reason);
            break;
        }
    }
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
        // Somebody else was faster, and nothing is known that a status does not say: look again without a word.
        Some(Halt::Stale) if !is_news(app, &achieved) => Outcome::Silent,
        Some(Halt::Stale) => {
            let message = "something changed meanwhile; looking again";
            let finding = Finding::passing(Reason::Progressing, message, Retry::After(Duration::from_millis(200)));
            Outcome::Failed { valid: Box::new(valid), achieved, finding }
        }
        Some(Halt::Because(finding)) => Outcome::Failed { valid: Box::new(valid), achieved, finding },
    }
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

/// Whether the pass has learnt of a registration or a credential that the status does not name yet.
fn is_news(app: &ExternalApplication, achieved: &Achieved) -> bool {
    let status = app.status.as_ref();
    let known = status.and_then(|status| status.client_id.as_deref());
    let credentials = status.map_or(&[][..], |status| &status.credentials);
    let named = |id: &str| credentials.iter().any(|credential| credential.id == id);
    achieved.client_id.as_ref().is_some_and(|id| known != Some(id.as_str()))
        || achieved.credentials.iter().any(|credential| !named(&credential.id))
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
    fn uid(&self) -> &str {
        &self.valid.uid
    }

    fn say(&self, tone: Tone, reason: Reason, note: &str) {
        self.ctx.events.publish(self.app, tone, reason, note);
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
        let current = self.current.map(|current| with_times(current, detail));
        Achieved {
            credentials: credentials::after(old, current.as_ref(), &self.removed, &self.strays, self.ctx.now()),
            client_id: self.client_id,
            granted: self.granted,
            binding: self.binding.or_else(|| standing_binding(self.app, self.valid, self.seen)),
            published: self.unwritten == 0 && (!self.valid.confidential() || self.secret.is_some()),
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
            Step::Publish { output, over } => self.publish(&output, over.as_ref()).await,
            Step::RemoveOutput(output) => self.remove(&output).await,
            Step::RetireSecret { id, secret } => self.retire(&id, secret).await,
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
        self.say(Tone::Normal, Reason::SecretReplaced, "a new secret was added");
        Ok(())
    }

    async fn publish(&mut self, output: &ResolvedOutput, over: Option<&Standing>) -> Result<(), Halt> {
        let Some(id) = self.client_id.clone() else { return Err(Halt::Stale) };
        let key = self.secret.as_ref().map(|(id, secret)| Key { id, secret });
        let wanted = render(output, &self.valid.facts(&id), key).map_err(|error| {
            Halt::Because(Finding::stalled(Reason::TemplateInvalid, format!("spec.outputs: {error}")))
        })?;
        // A new version of an immutable object has a name of its own: what stood under another is not in the way.
        let over = over.filter(|standing| standing.name == wanted.name);
        let written = self.ctx.kubernetes().output(self.app, &wanted, over).await;
        let meta = written.map_err(|error| match error {
            error if is_terminating(&error) => Halt::Stale,
            error if is_conflict(&error) && over.is_some() => Halt::Stale,
            error => Halt::Because(Finding::passing(
                Reason::OutputNotWritten,
                format!("{} could not be written: {}", wanted.name, say(&error)),
                Retry::Backoff,
            )),
        })?;
        self.ctx.owned.wrote(wanted.kind, &meta);
        self.unwritten -= 1;
        if self.binding.is_none() && Some(output) == primary(self.valid) {
            self.binding = Some(wanted.name.clone());
        }
        if self.unwritten == 0 {
            self.ctx.let_go(self.uid());
        }
        let note = format!("wrote {} {}", kind_name(wanted.kind), wanted.name);
        match &mut self.made {
            Some((.., registered)) => {
                registered.push_str("; ");
                registered.push_str(&note);
            }
            None if over.is_some() => self.say(Tone::Normal, Reason::Republished, &note),
            None => self.say(Tone::Normal, Reason::Published, &note),
        }
        Ok(())
    }

    async fn remove(&self, output: &OutputRef) -> Result<(), Halt> {
        let kubernetes = self.ctx.kubernetes();
        self.kubernetes(kubernetes.remove_output(&self.valid.namespace, output.kind, &output.name, &output.uid).await)?;
        self.ctx.owned.removed(self.app, output.kind, &output.name, &output.uid);
        self.say(Tone::Normal, Reason::OutputRemoved, &format!("removed {} {}", kind_name(output.kind), output.name));
        Ok(())
    }

    async fn retire(&mut self, id: &ClientId, secret: SecretId) -> Result<(), Halt> {
        self.connection.client.remove_secret(id, &secret).await.map_err(|error| self.server_failed(&error))?;
        self.say(Tone::Normal, Reason::SecretRetired, &format!("removed secret {secret} at the server"));
        self.removed.push(secret);
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

/// The output that `status.binding` names: the first Secret of a confidential application, else the first.
fn primary(valid: &Valid) -> Option<&ResolvedOutput> {
    let secret = valid.outputs.iter().find(|output| output.kind == OutputKind::Secret);
    secret.or(valid.outputs.first())
}

/// The object that is already there for the primary output.
fn standing_binding(app: &ExternalApplication, valid: &Valid, seen: &Observed) -> Option<String> {
    let primary = primary(valid)?;
    let named = app.status.as_ref().and_then(|status| status.binding.as_ref()).map(|binding| binding.name.as_str());
    let name = if primary.immutable { named? } else { &primary.name };
    seen.outputs
        .iter()
        .find(|output| output.ours && output.kind == primary.kind && output.name == name)
        .map(|output| output.name.clone())
}

fn kind_name(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Secret => "Secret",
        OutputKind::ConfigMap => "ConfigMap",
    }
}
