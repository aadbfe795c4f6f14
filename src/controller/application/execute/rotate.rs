//! The steps of a rotation: a secret is added, kept, proven, and written into every Secret.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{Halt, Pass};
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found, is_refused, is_terminating, say};
use crate::domain::credentials::{self, Current};
use crate::domain::intent::READ_LAG;
use crate::domain::observed::{Finding, Retry};
use crate::domain::outputs::ResolvedOutput;
use crate::domain::plan::{Keeping, Standing};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, SecretId};
use crate::domain::rotation::kept::{Kept, Seal, Secret, SeenKept, may_not_show};
use crate::domain::rotation::proof::{Answer, Verdict, judge, patience};
use crate::domain::rotation::report::Progress;
use crate::domain::rotation::{self, Trigger};
use crate::metrics::Rotated;
use crate::server::{AuthorizationServer as _, ServerError};

impl Pass<'_> {
    /// Has a secret made beside the published one. Nobody has it but this pass, until it is kept: whether it can be is asked
    /// before, since what is refused once is refused at the next try as well.
    pub(super) async fn add_next(&mut self, id: &ClientId, keep: &Keeping) -> Result<(), Halt> {
        let Keeping { kept, over } = keep;
        let trial = self.ctx.kubernetes().keep(self.app, kept, "", over.as_ref(), true).await;
        // A cluster may have what takes no trials: nothing is known then.
        let refused = trial.err().filter(|error| !matches!(error, kube::Error::Api(status) if status.code == 400));
        if let Some(error) = refused {
            return Err(not_kept(&error));
        }
        let credential = match self.connection.client.add_secret(id, &credentials::marker(self.uid())).await {
            Ok(credential) => credential,
            Err(ServerError::Ambiguous) => {
                let message = "the answer to a new secret was lost: it is removed again, and another one is made";
                return Err(Halt::Because(Finding::passing(Reason::OutcomeUnknown, message, Retry::Backoff)));
            }
            Err(error) => return Err(self.server_failed(&error)),
        };
        let Some(secret) = credential.id else {
            return Err(
                self.server_failed(&ServerError::Unintelligible { what: "a new secret without its identifier" })
            );
        };
        self.say(Tone::Normal, Reason::SecretAdded, &format!("added secret {secret} to replace the published one"));
        self.next = Some((
            Current {
                created_at: credential.created_at.or(Some(self.ctx.now())),
                expires_at: credential.expires_at,
                ..Current::known_as(secret)
            },
            ClientSecret::new(credential.secret.expose()),
        ));
        Ok(())
    }

    /// Keeps what the rotation needs to go on. A new secret that was certainly not kept is removed at once: nobody would
    /// know it. Where the answer was lost it may be kept all the same: the next pass goes on with it, or finds it a stray.
    pub(super) async fn keep_for_rotation(&mut self, Keeping { mut kept, over }: Keeping) -> Result<(), Halt> {
        let fresh = self.next.as_ref().map(|(next, value)| Secret::new(next.id.clone(), value));
        kept.next = kept.next.or(fresh.clone());
        let seal = self.connection.client.seal(&kept.sealed_text(self.uid())).unwrap_or_default();
        let written = self.ctx.kubernetes().keep(self.app, &kept, &seal, over.as_ref(), false).await;
        let meta = match written {
            Ok(meta) => meta,
            Err(error) => {
                if let Some((fresh, id)) = fresh.filter(|_| is_refused(&error)).zip(self.client_id.clone()) {
                    let _ = self.connection.client.remove_secret(&id, &fresh.id).await;
                }
                return Err(not_kept(&error));
            }
        };
        self.ctx.owned.wrote(crate::api::external_application::OutputKind::Secret, &meta);
        let (uid, version) = (meta.uid.unwrap_or_default(), meta.resource_version.unwrap_or_default());
        self.kept = Some(SeenKept { uid, resource_version: version, kept, seal: Seal::Current });
        Ok(())
    }

    /// Asks the token endpoint about the next secret. Once it is accepted, it is the one that is published.
    pub(super) async fn prove(
        &mut self,
        trigger: Trigger,
        request: Option<String>,
        since: Timestamp,
    ) -> Result<(), Halt> {
        let Some((id, next)) = self.client_id.clone().zip(self.kept.as_ref().and_then(|seen| seen.kept.next.clone()))
        else {
            return Err(Halt::Stale);
        };
        let answer = match self.connection.client.authenticates(&id, &next.value).await {
            Ok(true) => Answer::Accepted,
            Ok(false) => Answer::Refused,
            Err(error) => {
                tracing::debug!(%error, "the token endpoint does not say whether it accepts a secret");
                Answer::Nothing
            }
        };
        let now = self.ctx.now();
        match judge(trigger, since, answer, now) {
            Verdict::Publish => self.proven(&next, Some(now), since),
            Verdict::PublishUnproven => {
                self.say(
                    Tone::Warning,
                    Reason::ProofFailed,
                    &format!(
                        "the token endpoint does not accept secret {} yet; it is published all the same, because the one before has leaked and must go",
                        next.id
                    ),
                );
                self.proven(&next, None, since);
            }
            Verdict::Later(_) => {
                let until = rotation::later(since, patience(trigger, answer));
                self.progress = Progress::Proving { id: next.id.clone(), since, until, answer, trigger, request };
                return Err(Halt::NotYet);
            }
            Verdict::Withdraw => return Err(self.withdraw(&id, &next, trigger, request).await),
        }
        self.progress = Progress::Publishing { id: next.id.clone(), trigger, request };
        self.unwritten += self.replacing;
        Ok(())
    }

    /// All that the rotation takes is done, unless something of what leaked could not be removed.
    pub(super) fn complete(&mut self, trigger: Trigger, request: Option<String>) {
        if trigger == Trigger::Leaked && self.undone.is_some() {
            return;
        }
        self.let_accepted_take_over();
        if self.unwritten == 0 {
            self.ctx.let_go(self.uid());
        }
        if let Some(id) = self.current.as_ref().map(|current| current.id.to_string()) {
            let (reason, what) = match trigger {
                Trigger::RolledBack => (Reason::RolledBack, "the secret before it is published again"),
                _ => (Reason::Rotated, "the secret is replaced"),
            };
            self.say(Tone::Normal, reason, &format!("{what}: {id} ({})", trigger.as_str()));
            self.count_rotation(trigger, "published");
        }
        self.progress = Progress::Completed { trigger, request };
    }

    fn proven(&mut self, next: &Secret, verified_at: Option<Timestamp>, since: Timestamp) {
        if let Some(at) = verified_at {
            let took = std::time::Duration::try_from(at.duration_since(since)).unwrap_or_default();
            self.ctx.metrics.proof_seconds.get_or_create(&self.server_label()).observe(took.as_secs_f64());
            self.say(Tone::Normal, Reason::SecretProven, &format!("the token endpoint accepts secret {}", next.id));
        }
        let known = self.next.take().map(|(known, _)| known).filter(|known| known.id == next.id);
        let known = known.unwrap_or_else(|| Current { created_at: Some(since), ..Current::known_as(next.id.clone()) });
        self.accepted = Some(Current { verified_at, ..known });
        self.secret = Some((next.id.clone(), ClientSecret::new(next.value.expose())));
    }

    /// The accepted secret is the current one from now on, where there is one.
    fn let_accepted_take_over(&mut self) {
        self.current = self.accepted.take().or(self.current.take());
    }

    /// Takes a secret back that was never published. One that was, before, stays as long as it would have.
    async fn withdraw(&mut self, id: &ClientId, next: &Secret, trigger: Trigger, request: Option<String>) -> Halt {
        let was_published = self.listed().iter().any(|credential| {
            credential.id == next.id.as_str()
                && credential.state != crate::api::external_application::CredentialState::Pending
        });
        if !was_published {
            if self.seen.registration.shows(&next.id)
                && let Err(error) = self.connection.client.remove_secret(id, &next.id).await
            {
                return self.server_failed(&error);
            }
            self.removed.push(next.id.clone());
        }
        if let Some(seen) = self.kept.take()
            && let Err(error) = self.ctx.kubernetes().keep_no_more(self.app, &seen).await
        {
            let message = format!("what a rotation needed could not be removed: {}", say(&error));
            return Halt::Because(Finding::passing(Reason::KubernetesRefused, message, Retry::Backoff));
        }
        self.say(
            Tone::Warning,
            Reason::ProofFailed,
            &format!(
                "the token endpoint does not accept secret {}: it is withdrawn, and the one before stays",
                next.id
            ),
        );
        self.count_rotation(trigger, "withdrawn");
        self.progress = Progress::Withdrawn { trigger, request };
        Halt::NotYet
    }

    /// Writes the proven secret into one object.
    pub(super) async fn replace(&mut self, output: &ResolvedOutput, over: Option<&Standing>) -> Result<(), Halt> {
        let before = self.unwritten;
        let written = self.publish(output, over).await;
        self.or_later(written)?;
        if self.unwritten < before {
            self.let_accepted_take_over();
        }
        Ok(())
    }

    /// While what leaked is to go, an object that cannot be written does not keep it valid: it is said at the end.
    pub(super) fn or_later(&mut self, written: Result<(), Halt>) -> Result<(), Halt> {
        match (written, &self.progress) {
            (Err(Halt::Unwritable(finding)), Progress::Publishing { trigger: Trigger::Leaked, .. }) => {
                self.undone = Some(finding);
                Ok(())
            }
            (written, _) => written,
        }
    }

    /// A secret that cannot be removed keeps nothing else from being done; it is said at the end. Of what the registration
    /// does not show nothing is removed: some servers know secrets by their identifier alone, whoever they belong to.
    pub(super) async fn retire(&mut self, id: &ClientId, secret: SecretId) -> Result<(), Halt> {
        // Where the next secret could be written nowhere, the one before is all that workloads have.
        if self.removed.contains(&secret) || (self.accepted.is_some() && self.undone.is_some()) {
            return Ok(());
        }
        if !self.seen.registration.shows(&secret) {
            let kept = self.seen.kept.as_ref().map(|seen| &seen.kept);
            if may_not_show(self.listed(), kept, &secret, self.began) {
                let message = format!(
                    "secret {secret} was made a moment ago, and the server does not show it yet: it is removed once it does"
                );
                self.undone = Some(Finding::passing(Reason::Progressing, message, Retry::After(READ_LAG)));
                return Ok(());
            }
            self.removed.push(secret);
            return Ok(());
        }
        if let Err(error) = self.connection.client.remove_secret(id, &secret).await {
            if let Halt::Because(finding) = self.server_failed(&error) {
                self.undone = Some(finding);
            }
            return Ok(());
        }
        let (tone, note) = super::restart::farewell(&secret, self.seen.holders);
        self.say(tone, Reason::SecretRetired, &note);
        self.removed.push(secret);
        Ok(())
    }

    pub(super) fn count_rotation(&self, trigger: Trigger, outcome: &'static str) {
        let label = Rotated { server: self.server.key.to_string(), trigger: trigger.as_str(), outcome };
        self.ctx.metrics.rotations.get_or_create(&label).inc();
    }

    fn server_label(&self) -> crate::metrics::ServerLabel {
        crate::metrics::ServerLabel { server: self.server.key.to_string() }
    }

    /// The secret that is to be published at the end of the pass.
    pub(super) fn pending(&self) -> Option<Current> {
        let current = self.current.as_ref().map(|current| &current.id);
        let kept = self.kept.as_ref().filter(|seen| Some(&seen.kept.client_id) == self.client_id.as_ref())?;
        let next = kept.kept.under_way(current, rotation::recorded(self.app))?;
        let known = self.accepted.as_ref().or(self.next.as_ref().map(|(known, _)| known));
        let known = known.filter(|known| known.id == next.id).cloned();
        Some(
            known
                .unwrap_or_else(|| Current { created_at: Some(kept.kept.since), ..Current::known_as(next.id.clone()) }),
        )
    }
}

fn not_kept(error: &kube::Error) -> Halt {
    if is_conflict(error) || is_not_found(error) || is_terminating(error) {
        return Halt::Stale;
    }
    let message = format!("what a rotation needs could not be kept: {}", say(error));
    Halt::Because(Finding::passing(Reason::OutputNotWritten, message, Retry::Backoff))
}

/// Removes what is kept once nothing needs it: only after the status says so, since a crash before that must find it. False
/// where it has to be tried again.
pub async fn tidy(
    app: &crate::api::ExternalApplication,
    valid: &crate::domain::validate::Valid,
    achieved: &crate::domain::status::Achieved,
    ctx: &crate::controller::Context,
) -> bool {
    let Some(kept) = &achieved.kept else { return true };
    let same = achieved.client_id.as_ref() == Some(&kept.kept.client_id);
    let unfinished = matches!(achieved.rotation, Progress::Publishing { .. });
    let needed = unfinished || kept.kept.is_needed(&achieved.credentials, rotation::recorded(app));
    if same && valid.keeps_secret() && needed {
        return true;
    }
    match ctx.kubernetes().keep_no_more(app, kept).await {
        Ok(()) => {
            let name = Kept::object_name(&app.name_any(), &app.uid().unwrap_or_default());
            ctx.owned.removed(app, crate::api::external_application::OutputKind::Secret, &name, &kept.uid);
            true
        }
        Err(error) => {
            tracing::warn!(error = say(&error), "what a rotation needed could not be removed");
            false
        }
    }
}
