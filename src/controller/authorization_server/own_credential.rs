//! Looking after the operator's own credential: what the server lists of it, and its replacement on request, one durable
//! step after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use crate::api::{AuthorizationServer, ROTATE, ROTATED, ROTATING};
use crate::controller::Context;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, say};
use crate::controller::servers::own::{Answered, CredentialsSecret, Obtained};
use crate::controller::servers::{Connection, Server};
use crate::domain::observed::Finding;
use crate::domain::own_credential::report::{self, Answer, Told};
use crate::domain::own_credential::{self as policy, CURRENT, Claim, Facts, Held, PREVIOUS, Record, Step, decide};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, Credential, SecretId, SecretInfo};
use crate::server::{AuthorizationServer as _, Lane, ServerError, sealed_with};

mod tell;

/// The most steps in one pass; more than a whole replacement has.
const STEPS: usize = 16;
/// How long a failed step waits.
const PAUSE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(200);

/// What a pass found out, and when something is due next.
#[derive(Default)]
pub struct Upkeep {
    pub told: Option<Told>,
    pub again: Option<Duration>,
}

/// `swept`: whether the server is compared in this pass. Then its list of the operator's own secrets is read too, out of the
/// share for that; a failure only means that what was known before holds.
pub async fn look_after(object: &AuthorizationServer, server: &Server, swept: bool, ctx: &Context) -> Upkeep {
    let Some(connection) = server.connection() else { return Upkeep::default() };
    let annotations = object.metadata.annotations.as_ref();
    let request = annotations.and_then(|annotations| annotations.get(ROTATE)).filter(|request| !request.is_empty());
    let mut work = Work {
        object,
        server,
        own: connection.client.own_client_id().cloned(),
        connection,
        ctx,
        request: request.map(|request| policy::kept(request)),
        listed: None,
        progress: None,
    };
    if swept && let Some(own) = work.own.clone() {
        match work.list(&own, Lane::Resync).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "the operator's own registration was not read"),
        }
    }
    let again = work.advance().await;
    Upkeep { told: Some(work.told()), again }
}

/// What comes after a step.
enum Next {
    Step,
    Wait(Option<Duration>),
}

struct Work<'a> {
    object: &'a AuthorizationServer,
    server: &'a Server,
    connection: Arc<Connection>,
    ctx: &'a Context,
    /// The operator's own registration.
    own: Option<ClientId>,
    request: Option<String>,
    /// What the server listed in this pass.
    listed: Option<Arc<Vec<SecretInfo>>>,
    progress: Option<Answer>,
}

impl Work<'_> {
    fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The request that has an answer: what this process said last, as the cache may be older.
    fn answered(&self) -> Option<String> {
        let told = self.object.status.as_ref().and_then(|status| status.credential.as_ref()?.request.clone());
        self.server.own.answered().map(|answered| answered.request).or(told)
    }

    /// Whether the connection was made with what the Secret holds.
    fn is_connected_with(&self, secret: &CredentialsSecret) -> bool {
        let text = "own credential";
        self.own.is_none()
            || secret.current().is_none()
            || self.connection.client.seal(text).is_some_and(|seal| seal == secret.seal(text))
    }

    /// Hands the facts of now to a decision.
    fn with_facts<T>(&self, listed: Option<&[SecretInfo]>, use_them: impl FnOnce(&Facts<'_>) -> T) -> T {
        let secret = self.server.own.secret();
        let secret = secret.as_deref();
        let held = self.server.own.held().map(|(_, held)| held);
        let answered = self.answered();
        let record = secret.and_then(|secret| secret.record(self.uid()));
        let ours =
            |info: &SecretInfo| info.value.as_ref().zip(secret).is_some_and(|(value, secret)| secret.holds(value));
        let current = policy::current(listed.unwrap_or_default(), record, ours);
        use_them(&Facts {
            uid: self.uid(),
            identity: &self.ctx.settings.identity,
            request: self.request.as_deref(),
            answered: answered.as_deref(),
            registered: self.own.is_some() && secret.is_some(),
            secrets: self.connection.client.capabilities().secrets,
            name: secret.map_or("", |secret| &secret.name),
            immutable: secret.is_some_and(|secret| secret.immutable),
            claim: secret.and_then(|secret| secret.claim(self.uid())),
            record,
            has_previous: secret.is_some_and(CredentialsSecret::has_previous),
            held: held.as_ref(),
            listed,
            current: current.as_ref(),
            overlap: policy::overlap(self.object),
            now: self.ctx.now(),
        })
    }

    /// Does what is due, as far as it can be done now.
    async fn advance(&mut self) -> Option<Duration> {
        for _ in 0..STEPS {
            let secret = self.server.own.secret();
            if secret.as_ref().is_some_and(|secret| !self.is_connected_with(secret)) {
                // The next pass connects with it first, unless it was refused: then a person is at work on it.
                return self.server.own.caution().is_none().then_some(MOMENT);
            }
            let listed = self.listed.clone();
            let step = self.with_facts(listed.as_ref().map(|listed| listed.as_slice()), decide);
            match self.act(step).await {
                Next::Step => {}
                Next::Wait(wait) => return wait,
            }
        }
        Some(PAUSE)
    }

    async fn act(&mut self, step: Step) -> Next {
        let done = match step {
            Step::Rest(until) => {
                let left =
                    |until: Timestamp| Duration::try_from(until.duration_since(self.ctx.now())).unwrap_or_default();
                return Next::Wait(until.map(left));
            }
            Step::Refuse(finding) => {
                self.answer(&finding);
                Ok(())
            }
            Step::Look => self.look().await,
            Step::Claim(claim) => self.claim(claim).await,
            Step::Add => self.add().await,
            Step::Prove => return self.prove().await,
            Step::Publish(record) => self.publish(record).await,
            Step::Withdraw(secret, finding) => self.withdraw(secret, &finding).await,
            Step::Drop(secret) => self.drop_secret(secret).await,
            Step::Retire(secret, finding) => self.retire(secret, finding.as_ref()).await,
        };
        match done {
            Ok(()) => Next::Step,
            Err(Failure::Conflict) => Next::Wait(Some(MOMENT)),
            Err(Failure::Trouble { reason, message, wait }) => {
                self.progress = Some((false, reason, message));
                Next::Wait(Some(wait))
            }
        }
    }

    fn own(&self) -> Result<ClientId, Failure> {
        self.own.clone().ok_or(Failure::Conflict)
    }

    async fn list(&mut self, own: &ClientId, lane: Lane) -> Result<(), ServerError> {
        let found = self.connection.client.get(own, lane).await?.ok_or(ServerError::NotFound)?;
        let secrets = Arc::new(found.secrets);
        self.server.own.lists(secrets.clone());
        self.listed = Some(secrets);
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let own = self.own()?;
        Ok(self.list(&own, Lane::User).await?)
    }

    async fn claim(&mut self, claim: Claim) -> Result<(), Failure> {
        let secret = self.server.own.secret().ok_or(Failure::Conflict)?;
        let claim = Claim { seal: secret.seal(&claim.sealed_text(self.uid())), ..claim };
        self.write(&secret, &[], &[(ROTATING, written(&claim))]).await
    }

    async fn add(&mut self) -> Result<(), Failure> {
        let own = self.own()?;
        match self.connection.client.add_secret(&own, &policy::marker(self.uid())).await {
            Ok(made) => {
                self.show(&made);
                let held = Held { id: made.id, since: self.ctx.now(), tried: None, proven: false };
                self.server.own.hold(Obtained { value: Arc::new(made.secret), held });
                self.listed = None;
                Ok(())
            }
            Err(error) if is_final(&error) => {
                let message = format!("the server gives the operator no further secret: {error}");
                let finding = Finding::stalled(error.reason(), message);
                self.withdraw(None, &finding).await
            }
            // Whether there is one now is found out before another is asked for.
            Err(error) => {
                self.listed = None;
                Err(error.into())
            }
        }
    }

    async fn prove(&mut self) -> Next {
        let (Some((value, _)), Some(own)) = (self.server.own.held(), self.own.clone()) else { return Next::Step };
        let proof = self.connection.client.authenticates(&own, &value).await;
        let accepted = proof == Ok(true);
        self.server.own.tried(accepted, self.ctx.now());
        if !accepted {
            let message = "the token endpoint does not accept the operator's new secret yet; it is tried again";
            self.progress = Some((false, Reason::Proving, message.into()));
        }
        Next::Step
    }

    async fn publish(&mut self, record: Record) -> Result<(), Failure> {
        let secret = self.server.own.secret().ok_or(Failure::Conflict)?;
        let (value, _) = self.server.own.held().ok_or(Failure::Conflict)?;
        let record = Record { seal: sealed_with(&value, &record.sealed_text(self.uid())), ..record };
        let data = [(CURRENT, Some(&*value)), (PREVIOUS, secret.current())];
        self.write(&secret, &data, &[(ROTATED, written(&record)), (ROTATING, None)]).await?;
        self.server.own.let_go();
        self.progress = None;
        let answer = report::carried_out(&record, true);
        self.ctx.events.publish(self.object, Tone::Normal, Reason::Rotated, &answer.2);
        self.server.own.answer(Answered { request: record.request, answer });
        Ok(())
    }

    async fn withdraw(&mut self, id: Option<SecretId>, finding: &Finding) -> Result<(), Failure> {
        self.remove(id.as_ref()).await?;
        let secret = self.server.own.secret().ok_or(Failure::Conflict)?;
        let request = secret.claim(self.uid()).map(|(claim, _)| claim.request.clone());
        self.write(&secret, &[], &[(ROTATING, None)]).await?;
        self.server.own.let_go();
        self.answer_to(request, finding);
        Ok(())
    }

    async fn drop_secret(&mut self, id: Option<SecretId>) -> Result<(), Failure> {
        self.remove(id.as_ref()).await?;
        let held = self.server.own.held().map(|(_, held)| held.id);
        if held.is_some_and(|held| held == id) {
            self.server.own.let_go();
        }
        if let Some(id) = id {
            let note =
                format!("secret {id}, which the operator made for itself and nobody uses, is removed at the server");
            self.ctx.events.publish(self.object, Tone::Normal, Reason::SecretRetired, &note);
        }
        Ok(())
    }

    async fn retire(&mut self, id: Option<SecretId>, finding: Option<&Finding>) -> Result<(), Failure> {
        self.remove(id.as_ref()).await?;
        let secret = self.server.own.secret().ok_or(Failure::Conflict)?;
        let Some((record, _)) = secret.record(self.uid()) else { return Err(Failure::Conflict) };
        let mut record = Record { previous: None, seal: String::new(), ..record.clone() };
        if finding.is_none() {
            record.seal = secret.seal(&record.sealed_text(self.uid()));
        }
        self.write(&secret, &[(PREVIOUS, None)], &[(ROTATED, written(&record))]).await?;
        match (finding, id) {
            (Some(finding), _) => self.answer_to(Some(record.request), finding),
            (None, Some(id)) => {
                let note = format!("secret {id}, which the operator used before, is removed at the server");
                self.ctx.events.publish(self.object, Tone::Normal, Reason::SecretRetired, &note);
                let answer = report::carried_out(&record, false);
                self.server.own.answer(Answered { request: record.request, answer });
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// What was listed shows a new secret from now on: while it lacks it, another one looks like the only one.
    fn show(&self, made: &Credential) {
        let Some((listed, id)) = self.server.own.listed().zip(made.id.clone()) else { return };
        let (description, value) = (Some(policy::marker(self.uid())), None);
        let new = SecretInfo { id, description, created_at: made.created_at, expires_at: made.expires_at, value };
        self.server.own.lists(Arc::new(listed.iter().cloned().chain([new]).collect()));
    }

    /// Removes a secret at the server; what was listed is shown without it.
    async fn remove(&mut self, id: Option<&SecretId>) -> Result<(), Failure> {
        let Some(id) = id else { return Ok(()) };
        let own = self.own()?;
        self.connection.client.remove_secret(&own, id).await?;
        let without =
            |listed: &Arc<Vec<SecretInfo>>| Arc::new(listed.iter().filter(|info| info.id != *id).cloned().collect());
        self.listed = self.listed.as_ref().map(without);
        if let Some(listed) = self.server.own.listed() {
            self.server.own.lists(without(&listed));
        }
        Ok(())
    }

    async fn write(
        &self,
        secret: &CredentialsSecret,
        data: &[(&str, Option<&ClientSecret>)],
        annotations: &[(&str, Option<String>)],
    ) -> Result<(), Failure> {
        let namespace = self.object.metadata.namespace.as_deref().unwrap_or_default();
        let written: Secret = self.ctx.kubernetes().credentials(namespace, secret, data, annotations).await?;
        self.server.own.read(Some(CredentialsSecret::of(&written)));
        Ok(())
    }

    fn answer(&mut self, finding: &Finding) {
        self.answer_to(self.request.clone(), finding);
    }

    fn answer_to(&mut self, request: Option<String>, finding: &Finding) {
        self.progress = None;
        let Some(request) = request else { return };
        let answer = (false, finding.reason, finding.message.clone());
        if self.server.own.answer(Answered { request, answer }) {
            self.ctx.events.publish(self.object, Tone::Warning, finding.reason, &finding.message);
        }
    }
}

/// Why a step could not be taken.
enum Failure {
    /// Somebody else was faster: look again.
    Conflict,
    Trouble {
        reason: Reason,
        message: String,
        wait: Duration,
    },
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let wait = match &error {
            ServerError::Budget { retry_after } | ServerError::RateLimited { retry_after: Some(retry_after) } => {
                (*retry_after).max(PAUSE)
            }
            _ => PAUSE,
        };
        let message = format!("the operator's own secret is not replaced yet: {error}");
        Self::Trouble { reason: error.reason(), message, wait }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        if is_conflict(&error) {
            return Self::Conflict;
        }
        let message = format!("the Secret that credentialsRef names cannot be written: {}", say(&error));
        Self::Trouble { reason: Reason::KubernetesRefused, message, wait: PAUSE }
    }
}

/// Whether the server will say the same the next time.
fn is_final(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Rejected { .. }
            | ServerError::Conflict { .. }
            | ServerError::Forbidden { .. }
            | ServerError::Unsupported { .. }
            | ServerError::OutOfReach { .. }
            | ServerError::NotFound
    )
}

/// Plain values of our own: they can be written.
fn written(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}
