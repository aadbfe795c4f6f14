//! The steps that lead to a registration, exactly once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Halt, Pass};
use crate::controller::events::Tone;
use crate::domain::credentials::Current;
use crate::domain::intent::{CREATE, Intent, SENT_WITHIN};
use crate::domain::observed::{FINALIZER, Held, RegistrationSeen};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientSecret, Credential, SecretId, SecretInfo};
use crate::server::{AuthorizationServer as _, ServerError};

/// An intent that this pass has written.
pub(super) struct Recorded {
    at: Timestamp,
    /// Of the object with the intent on it.
    version: Option<String>,
}

impl Pass<'_> {
    pub(super) async fn record(&mut self, intent: Intent) -> Result<(), Halt> {
        let now = self.ctx.now();
        let mut intent = Intent { at: now, ..intent };
        intent.seal = self.connection.client.seal(&intent.sealed_text(self.uid())).unwrap_or_default();
        let written = self.ctx.kubernetes().guard(self.app, FINALIZER, Some(&intent)).await;
        match written {
            Ok(object) => self.recorded = Some(Recorded { at: now, version: object.metadata.resource_version }),
            Err(error) => return self.kubernetes(Err(error)),
        }
        Ok(())
    }

    pub(super) async fn register(&mut self) -> Result<(), Halt> {
        let waited = self.recorded.as_ref().map(|recorded| self.ctx.now().duration_since(recorded.at));
        if waited.is_none_or(|waited| Duration::try_from(waited).is_ok_and(|waited| waited > SENT_WITHIN)) {
            self.forget_intent().await;
            return Err(Halt::Stale);
        }
        let create = tokio::time::timeout(CREATE, self.connection.client.create(&self.valid.desired));
        let created = match create.await.unwrap_or(Err(ServerError::Ambiguous)) {
            Ok(created) => created,
            Err(error) => {
                if error.is_definite() {
                    self.forget_intent().await;
                }
                return Err(self.server_failed(&error));
            }
        };
        let id = created.registered.client_id.clone();
        self.server.made(&id, self.uid());
        if let Some(credential) = created.credential.filter(|_| self.valid.keeps_secret()) {
            self.keep(&id, credential, &created.registered.secrets);
        }
        let replaced = matches!(self.seen.registration, RegistrationSeen::Missing { .. });
        let reason = if replaced { Reason::Recreated } else { Reason::Registered };
        let tone = if replaced { Tone::Warning } else { Tone::Normal };
        self.made = Some((tone, reason, format!("registered as {id}")));
        self.granted = Some(self.valid.desired.scopes.clone());
        self.client_id = Some(id);
        Ok(())
    }

    /// Takes the intent of this pass away: nothing has been created. Best effort: if this is lost too, the intent is
    /// settled by looking.
    async fn forget_intent(&self) {
        let version = self.recorded.as_ref().and_then(|recorded| recorded.version.as_deref());
        let _ = self.ctx.kubernetes().forget_intent(self.app, FINALIZER, version).await;
    }

    /// Keeps a secret until an object carries it.
    pub(super) fn keep(&mut self, id: &ClientId, credential: Credential, listed: &[SecretInfo]) {
        let secret_id = credential.id.clone().unwrap_or_else(|| match listed {
            [only] => only.id.clone(),
            _ => SecretId::new("initial"),
        });
        if credential.replaces {
            let before = self.app.status.iter().flat_map(|status| &status.credentials);
            self.removed.extend(before.map(|credential| SecretId::new(&credential.id)));
        }
        self.current = Some(Current {
            id: secret_id.clone(),
            created_at: credential.created_at.or(Some(self.ctx.now())),
            expires_at: credential.expires_at,
            verified_at: None,
        });
        self.secret = Some((secret_id.clone(), ClientSecret::new(credential.secret.expose())));
        let (secret, rotation) = (Arc::new(credential.secret), self.replaces.clone());
        self.ctx.hold(self.uid(), id, Held { id: secret_id, secret, rotation });
    }

    pub(super) fn take_over(&mut self, id: &ClientId) -> Result<(), Halt> {
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
}
