//! Doing: one step after the other, each durable before the next. The first failure ends the pass; what is missing is
//! planned again from what is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::controller::Context;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found, is_terminating, say};
use crate::controller::servers::{Connection, Server, finding};
use crate::domain::credentials::{self, Current};
use crate::domain::intent::Intent;
use crate::domain::observed::{FINALIZER, Finding, Observed, OutputRef, RegistrationSeen, Retry};
use crate::domain::outputs::{Key, ResolvedOutput, render};
use crate::domain::plan::{Plan, Standing, Step};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, Credential, Registered, Scope, SecretId};
use crate::domain::status::{Achieved, Outcome};
use crate::domain::validate::Valid;
use crate::server::{AuthorizationServer as _, ServerError};

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
    granted: Option<BTreeSet<Scope>>,
    binding: Option<String>,
    /// Outputs that are still to be written.
    unwritten: usize,
}

pub async fn execute(
    app: &ExternalApplication,
    valid: Valid,
    plan: Plan,
    seen: &Observed,
    server: &Server,
    ctx: &Context,
) -> Outcome {
    let Some(connection) = server.connection() else { return Outcome::Silent };
    let Plan { steps, client_id, secret, drift } = plan;
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
        granted: granted_before(&valid, seen),
        binding: None,
        unwritten: steps.iter().filter(|step| matches!(step, Step::Publish { .. })).count(),
    };
    let mut halt = None;
    for step in steps {
        if let Err(reason) = pass.step(step).await {
            halt = Some(reason);
            break;
        }
    }
    let mut achieved = pass.achieved();
    achieved.drift = drift;
    match halt {
        None => Outcome::Done { valid: Box::new(valid), achieved },
        // Somebody else was faster, and nothing is known that a status does not say: look again without a word.
        Some(Halt::Stale) if !is_news(app, &achieved) => Outcome::Silent,
        Some(Halt::Stale) => {
            let message = "something changed meanwhile; looking again";
            let finding =
                Finding::passing(Reason::Progressing, message, Retry::After(std::time::Duration::from_millis(200)));
            Outcome::Failed { valid: Box::new(valid), achieved, finding }
        }
        Some(Halt::Because(finding)) => Outcome::Failed { valid: Box::new(valid), achieved, finding },
    }
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
            credentials: credentials::after(old, current.as_ref(), &self.removed, self.ctx.now()),
            client_id: self.client_id,
            granted: self.granted,
            binding: self.binding.or_else(|| standing_binding(self.app, self.valid, self.seen)),
            published: self.unwritten == 0 && (!self.valid.confidential() || self.secret.is_some()),
            drift: Vec::new(),
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), Halt> {
        match step {
            Step::Guard => self.kubernetes(self.ctx.kubernetes().guard(self.app, FINALIZER, None).await.map(|_| ())),
            Step::RecordIntent(intent) => self.record(&intent).await,
            Step::Register => self.register().await,
            Step::TakeOver(id) => self.take_over(&id),
            Step::Update { id, differences } => {
                let fields: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
                self.update(&id, &fields.join(", ")).await
            }
            Step::AddSecret(id) => self.add_secret(&id).await,
            Step::Publish { output, over } => self.publish(&output, over.as_ref()).await,
            Step::RemoveOutput(output) => self.remove(&output).await,
            Step::RetireSecret { id, secret } => self.retire(&id, secret).await,
        }
    }

    async fn record(&self, intent: &Intent) -> Result<(), Halt> {
        self.kubernetes(self.ctx.kubernetes().guard(self.app, FINALIZER, Some(intent)).await.map(|_| ()))
    }

    async fn register(&mut self) -> Result<(), Halt> {
        let created = match self.connection.client.create(&self.valid.desired).await {
            Ok(created) => created,
            Err(error) => {
                if error.is_definite() {
                    // Best effort: if this is lost too, the intent is settled by looking.
                    let _ = self.ctx.kubernetes().forget_intent(self.app, FINALIZER).await;
                }
                return Err(self.server_failed(&error));
            }
        };
        let id = created.registered.client_id.clone();
        self.server.claim(&id, self.uid());
        if let Some(credential) = created.credential {
            self.keep(&id, credential, &created.registered);
        }
        let replaced = matches!(self.seen.registration, RegistrationSeen::Missing { .. });
        let reason = if replaced { Reason::Recreated } else { Reason::Registered };
        let tone = if replaced { Tone::Warning } else { Tone::Normal };
        self.say(tone, reason, &format!("registered as {id}"));
        self.granted = Some(self.valid.desired.scopes.clone());
        self.client_id = Some(id);
        Ok(())
    }

    /// Keeps a secret until an object carries it.
    fn keep(&mut self, id: &ClientId, mut credential: Credential, registered: &Registered) {
        let secret_id = credential.id.clone().unwrap_or_else(|| match registered.secrets.as_slice() {
            [only] => only.id.clone(),
            _ => SecretId::new("initial"),
        });
        credential.id = Some(secret_id.clone());
        self.current = Some(Current {
            id: secret_id.clone(),
            created_at: credential.created_at.or(Some(self.ctx.now())),
            expires_at: credential.expires_at,
        });
        self.secret = Some((secret_id, ClientSecret::new(credential.secret.expose())));
        self.ctx.hold(self.uid(), id, Arc::new(credential));
    }

    fn take_over(&mut self, id: &ClientId) -> Result<(), Halt> {
        if !self.server.claim(id, self.uid()) {
            // A twin was faster: nothing of this registration is ours.
            (self.client_id, self.secret, self.current) = (None, None, None);
            return Err(Halt::Stale);
        }
        self.say(
            Tone::Warning,
            Reason::TakenOver,
            &format!("the answer to create had been lost; {id} is proven to be ours"),
        );
        Ok(())
    }

    async fn update(&mut self, id: &ClientId, fields: &str) -> Result<(), Halt> {
        self.connection.client.update(id, &self.valid.desired).await.map_err(|error| self.server_failed(&error))?;
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
        Ok(())
    }

    async fn add_secret(&mut self, id: &ClientId) -> Result<(), Halt> {
        let marker = credentials::marker(self.uid());
        let credential =
            self.connection.client.add_secret(id, &marker).await.map_err(|error| self.server_failed(&error))?;
        let empty = Registered { secrets: Vec::new(), ..self.nothing(id) };
        self.keep(id, credential, &empty);
        self.say(Tone::Normal, Reason::SecretReplaced, "a new secret was added");
        Ok(())
    }

    fn nothing(&self, id: &ClientId) -> Registered {
        let desired = &self.valid.desired;
        Registered {
            client_id: id.clone(),
            display_name: desired.display_name.clone(),
            client_type: desired.client_type,
            redirect_uris: desired.redirect_uris.clone(),
            scopes: desired.scopes.clone(),
            secrets: Vec::new(),
        }
    }

    async fn publish(&mut self, output: &ResolvedOutput, over: Option<&Standing>) -> Result<(), Halt> {
        let Some(id) = self.client_id.clone() else { return Err(Halt::Stale) };
        let key = self.secret.as_ref().map(|(id, secret)| Key { id, secret });
        let wanted = render(output, &self.valid.facts(&id), key).map_err(|error| {
            Halt::Because(Finding::stalled(Reason::TemplateInvalid, format!("spec.outputs: {error}")))
        })?;
        // A new version of an immutable object has a name of its own: what stood under another is not in the way.
        let over = over.filter(|_| !wanted.immutable);
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
        if let (Some(uid), Some(version)) = (&meta.uid, &meta.resource_version) {
            self.ctx.owned.wrote(wanted.kind, uid, version);
        }
        self.unwritten -= 1;
        if self.binding.is_none() && Some(output) == primary(self.valid) {
            self.binding = Some(wanted.name.clone());
        }
        if self.unwritten == 0 {
            self.ctx.let_go(self.uid());
        }
        let reason = if over.is_some() { Reason::Republished } else { Reason::Published };
        self.say(Tone::Normal, reason, &format!("wrote {} {}", kind_name(wanted.kind), wanted.name));
        Ok(())
    }

    async fn remove(&self, output: &OutputRef) -> Result<(), Halt> {
        let kubernetes = self.ctx.kubernetes();
        self.kubernetes(kubernetes.remove_output(&self.valid.namespace, output.kind, &output.name, &output.uid).await)?;
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
